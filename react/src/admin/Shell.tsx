import { useMemo, useRef, type ReactNode } from "react";
import { SessionProvider, useSession, type Session } from "../auth/session.ts";
import { FunctionsProvider, useFunctions, type Functions } from "../functions.ts";
import type { Switch } from "../manage/calls.ts";
import { DEFAULT_LOCALE, WordsProvider, wordsOf, type OwnMessages } from "../messages/messages.ts";
import { AnyRouter } from "../router/router.tsx";
import { DEFAULTS, OptionsProvider, type Column, type Options } from "./options.ts";
import { useHslTokens } from "./useHslTokens.ts";

export type ShellProps = {
  // Signs in and out, and gets the token for the service.
  session?: Session;
  // The functions of a module that is not named "users": functionsOf("people").
  functions?: Functions;
  // Where the pages are, as the router names it. null: the app does not have this page.
  paths?: Partial<Options["paths"]>;
  // The name in the header. With the frame the pages also set the title of the document.
  title?: string;
  // false: only the content, for an app with a header and a navigation of its own.
  frame?: boolean;
  // The roles that are suggested.
  roles?: readonly string[];
  // The team's own columns.
  columns?: readonly Column[];
  // false: no key that is a single character does anything.
  keys?: boolean;
  // false: the pages only read. An object switches single actions off: { delete: false }.
  actions?: boolean | Partial<Record<Switch, boolean>>;
  // The texts in the app's language. Those that are not given are English.
  messages?: OwnMessages;
  // The language of numbers, times and `messages`, such as "de-AT". Default: English.
  locale?: string;
};

// The element that the stylesheet is about. It gives the parts within it the functions, the session and the options.
export function Shell({ children, ...props }: ShellProps & { children: ReactNode }): ReactNode {
  const { title, frame, paths, roles, columns, keys, actions, messages, locale = DEFAULT_LOCALE } = props;
  const users = paths?.users;
  const audit = paths?.audit;
  const invitations = paths?.invitations;
  const words = useMemo(() => wordsOf(messages, locale), [messages, locale]);
  const options = useMemo<Options>(
    () => ({
      title: title ?? words.messages.frame.title,
      frame: frame ?? DEFAULTS.frame,
      paths: {
        users: users === undefined ? DEFAULTS.paths.users : users,
        audit: audit === undefined ? DEFAULTS.paths.audit : audit,
        invitations: invitations === undefined ? DEFAULTS.paths.invitations : invitations,
      },
      roles: roles ?? DEFAULTS.roles,
      columns: columns ?? DEFAULTS.columns,
      keys: keys ?? DEFAULTS.keys,
      isOn: (action) => (typeof actions === "object" ? (actions[action] ?? true) : (actions ?? true)),
    }),
    [title, words, frame, users, audit, invitations, roles, columns, keys, actions],
  );
  const session = useSession();
  const functions = useFunctions();
  // Texts that are English are not read out as if they were in another language.
  const isTranslated = messages !== undefined || new Intl.Locale(locale).language === DEFAULT_LOCALE;
  const root = useRef<HTMLDivElement>(null);
  const isHsl = useHslTokens(root);
  const className = ["ccx", !options.frame && "is-frameless", isHsl && "is-hsl"].filter(Boolean).join(" ");
  return (
    <div className={className} lang={isTranslated ? locale : DEFAULT_LOCALE} ref={root}>
      <OptionsProvider value={options}>
        <WordsProvider value={words}>
          <FunctionsProvider value={props.functions ?? functions}>
            <SessionProvider value={props.session ?? session}>
              <AnyRouter>{children}</AnyRouter>
            </SessionProvider>
          </FunctionsProvider>
        </WordsProvider>
      </OptionsProvider>
    </div>
  );
}
