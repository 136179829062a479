import type { ComponentType, ReactNode } from "react";
import type { UserSummary } from "../functions.ts";

// What the page shows where admins may act; see ../manage/. Without it the page only reads.
export type Manage = {
  NewUserButton: ComponentType;
  RowMenu: ComponentType<{ user: UserSummary }>;
  UserActions: ComponentType<{ user: UserSummary }>;
  DetailsNotices: ComponentType;
  Progress: ComponentType<{ user: UserSummary; children: ReactNode }>;
};
