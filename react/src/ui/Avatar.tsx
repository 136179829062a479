import { memo, useState } from "react";

const COLOURS = 8; // avatar-0 … avatar-7 in people.css

type Props = { seed: string; name: string; src?: string; size?: "small" | "large" };

// The avatar of a user. It is decoration, because the name is always next to it.
export const Avatar = memo(function Avatar({ seed, name, src, size }: Props) {
  const [broken, setBroken] = useState<string | null>(null);
  const hasImage = src !== undefined && src !== broken;
  return (
    <span className={`avatar avatar-${colour(seed)}${size ? ` is-${size}` : ""}`} aria-hidden="true">
      {initials(name) || <Silhouette />}
      {hasImage && (
        <img
          src={src}
          alt=""
          loading="lazy"
          decoding="async"
          referrerPolicy="no-referrer"
          onError={() => setBroken(src)}
        />
      )}
    </span>
  );
});

function colour(seed: string): number {
  let hash = 0;
  for (let index = 0; index < seed.length; index++) hash = (hash * 31 + seed.charCodeAt(index)) >>> 0;
  return hash % COLOURS;
}

const graphemes = new Intl.Segmenter();

// Returns the initials of the first and the last word, in any script, or "" for a name without letters, such as a phone
// number.
function initials(name: string): string {
  const words = name.replace(/@.*/, "").match(/\p{L}[^\s._-]*/gu) ?? [];
  const chosen = words.length > 1 ? [words[0]!, words.at(-1)!] : words;
  return chosen.map((word) => graphemes.segment(word).containing(0)!.segment.toLocaleUpperCase()).join("");
}

function Silhouette() {
  return (
    <svg viewBox="0 0 16 16" width="50%" height="50%" fill="currentColor">
      <circle cx="8" cy="5" r="3" />
      <path d="M2 14a6 5 0 0 1 12 0z" />
    </svg>
  );
}
