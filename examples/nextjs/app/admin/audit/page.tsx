import { Audit } from "../pages";

export default function Page() {
  return <Audit />;
}
