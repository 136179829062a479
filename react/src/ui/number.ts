// Formats numbers in the reader's language.
export const number = new Intl.NumberFormat();
