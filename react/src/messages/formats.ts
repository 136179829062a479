// How a locale writes numbers and times. Times are the viewer's, if nothing else is said.
export type Formats = ReturnType<typeof formatsOf>;

export function formatsOf(locale: string) {
  const number = new Intl.NumberFormat(locale);
  const exact = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" });
  const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
  const longDay = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeZone: "UTC" });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
  const list = new Intl.ListFormat(locale, { type: "conjunction" });
  const relative = new Intl.RelativeTimeFormat(locale, { style: "narrow" });
  return {
    locale,
    number: (value: number) => number.format(value),
    exact: (time: number) => exact.format(time),
    clock: (time: number) => clock.format(time),
    date: (time: number) => date.format(time),
    dates: (from: number, to: number) => date.formatRange(from, to),
    list: (items: string[]) => list.format(items),
    day: (utcDay: string) => day.format(new Date(utcDay)),
    longDay: (utcDay: string) => longDay.format(new Date(utcDay)),
    relative: (count: number, unit: Intl.RelativeTimeFormatUnit) => relative.format(count, unit),
    now: new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(0, "second"),
  };
}
