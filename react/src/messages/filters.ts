// Words of the filters of the users page.
export const filters = {
  label: "Users",
  status: "Status",
  all: "All",
};
