// Words of the totals and the chart of sign-ups.
export const stats = {
  totals: "Totals",
  users: "Users",
  failed: "The totals could not be loaded",
  rebuilding: "being counted afresh",
  signUps: "Sign-ups",
  signUpsIn: (days: number) => `Sign-ups in ${days} days`,
  signUpsADay: "Sign-ups a day",
  chart: (days: number, total: string, most: string) =>
    `Sign-ups of the last ${days} days: ${total} in all, at most ${most} a day`,
  day: "Day",
  daysAgo: (days: number) => `${days} days ago`,
  today: "Today, UTC", // Convex counts the days of UTC
};
