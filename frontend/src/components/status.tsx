import { Ban, CheckCircle2, CircleDashed, CircleSlash, Clock, Loader2, type LucideIcon, RotateCw, ShieldX, SkipForward, TriangleAlert, XCircle } from "lucide-react";

/** The one map from a status to its look. Colour never speaks alone: each has an icon and its word. */
export type Tone = "good" | "bad" | "warn" | "busy" | "quiet";
interface Look {
  tone: Tone;
  icon: LucideIcon;
  spins?: boolean;
}

const LOOKS: Record<string, Look> = {
  pending: { tone: "quiet", icon: Clock },
  starting: { tone: "busy", icon: Loader2, spins: true },
  running: { tone: "busy", icon: Loader2, spins: true },
  checking: { tone: "busy", icon: Loader2, spins: true },
  progressing: { tone: "busy", icon: Loader2, spins: true },
  tearing_down: { tone: "busy", icon: Loader2, spins: true },
  cancelling: { tone: "warn", icon: Loader2, spins: true },
  draining: { tone: "quiet", icon: Loader2, spins: true },
  succeeded: { tone: "good", icon: CheckCircle2 },
  passed: { tone: "good", icon: CheckCircle2 },
  ready: { tone: "good", icon: CheckCircle2 },
  completed: { tone: "good", icon: CheckCircle2 },
  started: { tone: "good", icon: CheckCircle2 },
  True: { tone: "good", icon: CheckCircle2 },
  cached: { tone: "good", icon: RotateCw },
  failed: { tone: "bad", icon: XCircle },
  False: { tone: "bad", icon: XCircle },
  error: { tone: "bad", icon: XCircle },
  crashed: { tone: "bad", icon: TriangleAlert },
  lost: { tone: "bad", icon: TriangleAlert },
  exited: { tone: "bad", icon: XCircle },
  backoff: { tone: "bad", icon: TriangleAlert },
  rejected: { tone: "warn", icon: ShieldX },
  interrupted: { tone: "warn", icon: TriangleAlert },
  aborted: { tone: "warn", icon: TriangleAlert },
  rolled_back: { tone: "warn", icon: RotateCw },
  paused: { tone: "warn", icon: Clock },
  cancelled: { tone: "quiet", icon: Ban },
  skipped: { tone: "quiet", icon: SkipForward },
  retired: { tone: "quiet", icon: CircleSlash },
  idle: { tone: "quiet", icon: CircleDashed },
  nothing: { tone: "quiet", icon: CircleDashed },
  Unknown: { tone: "quiet", icon: CircleDashed },
};

export function lookOf(status: string): Look {
  return LOOKS[status] ?? { tone: "quiet", icon: CircleDashed };
}

export const TONES: Record<Tone, string> = {
  good: "text-good bg-good-soft",
  bad: "text-bad bg-bad-soft",
  warn: "text-warn bg-warn-soft",
  busy: "text-busy bg-busy-soft",
  quiet: "text-muted bg-code",
};

export function Status({ status, label }: { status: string; label?: string }) {
  const look = lookOf(status);
  const Icon = look.icon;
  return (
    <span className={`inline-flex items-center gap-1 rounded-full px-2 py-px text-[.92rem] font-medium whitespace-nowrap ${TONES[look.tone]}`}>
      <Icon size={13} aria-hidden className={look.spins ? "animate-spin" : ""} />
      {label ?? status.replace("_", " ")}
    </span>
  );
}

export const ACTIVE = new Set(["pending", "running", "starting", "cancelling", "checking", "tearing_down", "progressing"]);
