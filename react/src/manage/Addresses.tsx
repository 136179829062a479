import { useId, useState } from "react";
import type { UserSummary } from "../functions.ts";
import { useFormats, useMessages } from "../messages/messages.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { AskButton } from "./AskButton.tsx";
import { CallNews } from "./CallNews.tsx";
import { lookAt, readAddresses, type Address } from "./sessionCalls.ts";
import { useAsk } from "./useAsk.ts";

// All addresses of a user, in the details. Convex has the primary ones only; Clerk is asked when somebody wants to see
// the others.
export function Addresses({ user }: { user: UserSummary }) {
  const { sheet } = useMessages();
  const { number } = useFormats();
  const { ask, busy, isOff, obstacle, setTold, wait, ...news } = useAsk();
  const [listed, setListed] = useState<Address[] | null>(null);
  const id = useId();

  const load = async () => {
    const found = await ask("list", lookAt(user.clerkId), readAddresses);
    if (found === undefined) return;
    setListed(found);
    setTold(found.length === 0 ? "" : `${sheet.addressCount(found.length, number(found.length))}.`);
  };

  return (
    <section className="sessions" aria-labelledby={id}>
      <div className="metadata-head">
        <h3 id={id}>{sheet.addresses}</h3>
        <AskButton
          {...{ isOff, obstacle, wait }}
          isAsking={busy !== null}
          label={listed === null ? sheet.showAddresses : sheet.refresh}
          onAsk={() => void load()}
        />
      </div>
      <CallNews obstacle={obstacle} {...news} />
      {listed?.length === 0 && <p className="muted">{sheet.noAddress}</p>}
      {listed !== null && listed.length > 0 && (
        <ul className="session-list" aria-labelledby={id}>
          {listed.map((address) => (
            <li key={address.id} className="session">
              <div className="session-text">
                <span className="truncate" dir="auto" title={address.text}>
                  {address.text}
                </span>
                <span className="muted">
                  {[
                    address.kind === "email" ? sheet.email : sheet.phone,
                    ...(address.isPrimary ? [sheet.primary] : []),
                    address.isVerified ? sheet.verified : sheet.unverified,
                  ].join(" · ")}
                </span>
              </div>
              <CopyButton text={address.text} label={address.text} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
