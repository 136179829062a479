// Numbers as the reader's language writes them.
export const number = new Intl.NumberFormat();
