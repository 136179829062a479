// Indents JSON text without parsing its values, so that numbers keep all digits. Returns text that is not JSON
// unchanged.
export function prettyJson(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/("(?:[^"\\]|\\.)*")|([[{])\s*([\]}])?|\s*([\]}])|(,)\s*|(:)\s*|\s+/g, (...match) => {
    const [, string, open, immediateClose, close, comma, colon] = match as (string | undefined)[];
    if (string !== undefined) return string;
    if (open !== undefined) {
      if (immediateClose !== undefined) return open + immediateClose;
      depth++;
      return open + line();
    }
    if (close !== undefined) {
      depth--;
      return line() + close;
    }
    if (comma !== undefined) return comma + line();
    return colon === undefined ? "" : ": ";
  });
}
