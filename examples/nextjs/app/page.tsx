import Link from "next/link";

export default function Home() {
  return (
    <main className="mx-auto max-w-xl space-y-4 p-8">
      <h1 className="text-3xl font-semibold tracking-tight">Acme</h1>
      <p className="text-muted-foreground">An app with Tailwind and the tokens of shadcn.</p>
      <Link className="inline-flex h-9 items-center rounded-md bg-primary px-4 text-sm text-primary-foreground" href="/admin/users">
        Users
      </Link>
    </main>
  );
}
