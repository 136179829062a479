import { useMessages } from "../messages/messages.ts";

export function Nothing() {
  const { ui } = useMessages();
  return (
    <span className="muted">
      <span aria-hidden="true">–</span>
      <span className="visually-hidden">{ui.none}</span>
    </span>
  );
}
