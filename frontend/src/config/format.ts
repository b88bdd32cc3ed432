/** Numbers, sizes, durations and times as people read them. */
export function bytes(value: number | null | undefined): string {
  if (value == null) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? Math.round(size) : size.toFixed(1)} ${units[unit] ?? ""}`;
}

export function seconds(value: number | null | undefined): string {
  if (value == null) return "-";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} m ${Math.round(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} m`;
}

export function number(value: number | null | undefined): string {
  if (value == null) return "-";
  return Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(5)).toString();
}

export function percent(value: number): string {
  return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)}%`;
}

export function ago(at: string | null | undefined, language: string, now = Date.now()): string {
  if (!at) return "-";
  const past = (new Date(at).getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const size = Math.abs(past);
  if (size < 60) return format.format(Math.round(past), "second");
  if (size < 3600) return format.format(Math.round(past / 60), "minute");
  if (size < 86_400) return format.format(Math.round(past / 3600), "hour");
  return format.format(Math.round(past / 86_400), "day");
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
