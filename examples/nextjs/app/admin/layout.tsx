"use client";
import { NextRouter } from "clerk-convex-react/next";
import Link from "next/link";
import type { ReactNode } from "react";

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <>
      <nav className="flex gap-4 border-b p-4 text-sm">
        <Link href="/">Acme</Link>
        <Link href="/admin/users">Users</Link>
        <Link href="/admin/audit">Audit log</Link>
        <Link href="/admin/invitations">Invitations</Link>
      </nav>
      <main className="p-4">
        <NextRouter>{children}</NextRouter>
      </main>
    </>
  );
}
