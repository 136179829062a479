import { Icon } from "./Icon.tsx";

type Props = { className: string; label: string; onClick: () => void };

// A cross. Its class gives it its place.
export function CloseButton({ className, label, onClick }: Props) {
  return (
    <button className={`icon-button ${className}`} type="button" aria-label={label} title={label} onClick={onClick}>
      <Icon size={16}>
        <path d="m4 4 8 8m0-8-8 8" />
      </Icon>
    </button>
  );
}
