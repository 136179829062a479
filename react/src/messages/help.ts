// Words of the list of keys.
export const help = {
  title: "Keys",
  open: "Keys of this page",
  key: "Key",
  effect: "What it does",
  close: "Close",
  or: "or",
  // The labels of the keys.
  caps: {
    pageDown: "PageDown",
    pageUp: "PageUp",
    home: "Home",
    end: "End",
    enter: "Enter",
    escape: "Esc",
    shiftX: "Shift + x",
  } as Record<string, string>,
  keys: {
    search: "Search",
    rows: "Go to the next or previous row, a screen further, or to the first or last row",
    details: "Open the details of the row",
    select: "Select the row",
    selectRange: "Select all rows from the one selected last",
    news: "Show the new users that wait",
    steps: "In the details: go to the next or previous user",
    close: "Close what is open, or empty the search",
    help: "Show this list",
  },
};
