import { createContext, useContext, type ComponentType, type ReactNode } from "react";
import type { UserDetails, UsersArgs, UserSummary } from "../functions.ts";

// The list that a selection belongs to.
export type List = {
  rows: readonly UserSummary[];
  args: UsersArgs;
  total: number | undefined; // undefined: not known
  hasMore: boolean; // more rows follow
};

// The parts of the page by which admins act; see ../manage/. Without them the page only reads.
export type Manage = {
  InvitationList: ComponentType;
  NewUserButton: ComponentType;
  RowMenu: ComponentType<{ user: UserSummary; isGone: boolean }>;
  UserActions: ComponentType<{ user: UserSummary }>;
  DetailsNotices: ComponentType;
  Select: ComponentType<{ user: UserSummary }>;
  SelectAll: ComponentType;
  SelectionBar: ComponentType<List>;
  Addresses: ComponentType<{ user: UserSummary }>;
  EditMetadata: ComponentType<{ user: UserDetails }>;
  Sessions: ComponentType<{ user: UserSummary }>;
  SyncNow: ComponentType<{ clerkId: string }>;
  Progress: ComponentType<{ user: UserSummary; children: ReactNode }>;
};

export const ManageContext = createContext<Manage | undefined>(undefined);

export function useManage(): Manage | undefined {
  return useContext(ManageContext);
}
