/** SGR colours of terminal output as spans of plain text. Never HTML: React escapes the text. */
export interface Span {
  text: string;
  style: string;
}

const COLOURS = ["", "text-bad", "text-good", "text-warn", "text-accent", "text-[#a15cc7]", "text-[#0f8a8a]", ""];
const SEQUENCE = /\u001b\[([0-9;]*)m|\u001b\[[0-9;?]*[A-Za-z]|\u001b[\]P][^\u0007]*\u0007?/g;

export function spans(line: string): Span[] {
  const found: Span[] = [];
  let style = "";
  let at = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    if (match.index > at) found.push({ text: line.slice(at, match.index), style });
    at = match.index + match[0].length;
    if (match[1] !== undefined) style = next(style, match[1]);
  }
  if (at < line.length || found.length === 0) found.push({ text: line.slice(at), style });
  return found;
}

function next(style: string, codes: string): string {
  let current = style;
  for (const code of codes.split(";").map(Number)) {
    if (code === 0) current = "";
    else if (code === 1) current += " font-semibold";
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      current = current.replace(/text-\S+/g, "") + " " + (COLOURS[code % 10] ?? "");
    } else if (code === 39) current = current.replace(/text-\S+/g, "");
  }
  return current.trim();
}
