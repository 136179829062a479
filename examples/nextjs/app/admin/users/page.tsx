import { Users } from "../pages";

export default function Page() {
  return <Users />;
}
