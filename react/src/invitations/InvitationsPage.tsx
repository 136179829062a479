import { useMessages } from "../messages/messages.ts";
import { useTitle } from "../ui/useTitle.ts";
import { useManage } from "../users/manage.ts";

// The content of the page, within <Admin>.
export function Invitations() {
  const manage = useManage();
  const { invitations } = useMessages();
  useTitle(invitations.title);
  return (
    <>
      <h1 className="visually-hidden">{invitations.title}</h1>
      {manage === undefined ? (
        <div className="notice">
          <h2>{invitations.notManaged}</h2>
          <p>{invitations.notManagedText}</p>
        </div>
      ) : (
        <manage.InvitationList />
      )}
    </>
  );
}
