import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  values: (number | null)[];
  dash?: boolean;
}

const COLOURS = ["--accent", "--good", "--bad", "--warn", "--muted"];

/** A line chart of a few series over one x axis; `time` says that x is Unix seconds. */
export default function Chart({ x, series, time, unit }: { x: number[]; series: Series[]; time?: boolean; unit?: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px sans-serif" };
    const plot = new uPlot(
      {
        width: parent.clientWidth,
        height: 180,
        scales: { x: { time: Boolean(time) } },
        axes: [axis, { ...axis, size: 56, values: (_plot, values) => values.map((value) => `${value}${unit ?? ""}`) }],
        series: [
          {},
          ...series.map((one, index) => ({
            label: one.label,
            stroke: colour(COLOURS[index % COLOURS.length] ?? "--accent"),
            width: 1.5,
            dash: one.dash ? [5, 4] : undefined,
            points: { show: x.length < 40 },
          })),
        ],
      },
      [x, ...series.map((one) => one.values)],
      parent,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height: 180 }));
    resize.observe(parent);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [x, series, time, unit]);
  return <div ref={box} className="w-full" />;
}
