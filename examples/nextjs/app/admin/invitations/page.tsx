import { Invitations } from "../pages";

export default function Page() {
  return <Invitations />;
}
