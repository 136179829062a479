// The parts that ManageProvider gives to the users page.
import { InvitationList } from "../invitations/InvitationList.tsx";
import type { Manage } from "../users/manage.ts";
import { Addresses } from "./Addresses.tsx";
import { EditMetadata } from "./EditMetadata.tsx";
import { NewUserButton } from "./NewUserButton.tsx";
import { Progress } from "./Progress.tsx";
import { RowMenu } from "./RowMenu.tsx";
import { Select, SelectAll, SelectionBar } from "./Select.tsx";
import { Sessions } from "./Sessions.tsx";
import { SyncNow } from "./SyncNow.tsx";
import { DetailsNotices, UserActions } from "./UserActions.tsx";

export const manage: Manage = {
  InvitationList,
  NewUserButton,
  RowMenu,
  UserActions,
  DetailsNotices,
  Progress,
  Select,
  SelectAll,
  SelectionBar,
  Addresses,
  EditMetadata,
  Sessions,
  SyncNow,
};
