import { render, screen } from "@testing-library/react";
import { ApiError, errorOf } from "@/api/client";
import { isAbout } from "@/api/live";
import { ago, bytes, seconds } from "@/config/format";
import { dictionaries } from "@/config/i18n";
import { layers } from "@/features/runs/layout";
import { tar } from "@/features/submissions/tar";
import { spans } from "@/components/ansi";
import { ErrorPanel } from "@/components/basics";
import { DiffTable } from "@/components/diff-table";
import { lookOf, Status } from "@/components/status";

describe("status", () => {
  it("says each status by word and icon, not by colour alone", () => {
    const { container } = render(<Status status="failed" />);
    expect(screen.getByText("failed")).toBeTruthy();
    expect(container.querySelector("svg")).toBeTruthy();
  });
  it("keeps a look for what it does not know", () => {
    expect(lookOf("something new").tone).toBe("quiet");
  });
});

describe("log lines", () => {
  it("turns colours into classes and drops other sequences", () => {
    expect(spans("\u001b[31mred\u001b[0m plain\u001b[2K")).toEqual([
      { text: "red", style: "text-bad" },
      { text: " plain", style: "" },
    ]);
  });
  it("shows markup as text", () => {
    const { container } = render(<span>{spans("<img src=x onerror=alert(1)>")[0]?.text}</span>);
    expect(container.querySelector("img")).toBeNull();
    expect(container.textContent).toContain("<img");
  });
});

describe("errors", () => {
  it("read a problem document", async () => {
    const error = await errorOf(new Response(JSON.stringify({ code: "manifest_invalid", detail: "wrong", problems: [{ code: "x", field: "steps", message: "bad", line: 3 }] }), { status: 400 }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.code).toBe("manifest_invalid");
    render(<ErrorPanel error={error} />);
    expect(screen.getByText("steps")).toBeTruthy();
  });
  it("survive an answer that is not JSON", async () => {
    expect((await errorOf(new Response("<html>", { status: 502 }))).status).toBe(502);
  });
});

describe("diff", () => {
  it("shows values as text", () => {
    render(<DiffTable rows={[{ place: "/a", left: "<b>1</b>", right: "2" }]} />);
    expect(screen.getByText("<b>1</b>")).toBeTruthy();
  });
});

describe("words", () => {
  it("has every word in both languages", () => {
    expect(Object.keys(dictionaries.ja).sort()).toEqual(Object.keys(dictionaries.en).sort());
    for (const words of Object.values(dictionaries)) for (const word of Object.values(words)) expect(word.length).toBeGreaterThan(0);
  });
});

describe("format", () => {
  it("reads well", () => {
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(seconds(0.25)).toBe("250 ms");
    expect(seconds(90)).toBe("1 m 30 s");
    expect(ago(new Date(Date.now() - 120_000).toISOString(), "en")).toContain("2");
  });
});

describe("graph", () => {
  it("puts each step right of what it needs", () => {
    const places = layers([
      { name: "a", needs: [] },
      { name: "b", needs: ["a"] },
      { name: "c", needs: ["a"] },
      { name: "d", needs: ["b", "c"] },
    ]);
    expect(places.get("d")).toEqual({ column: 2, row: 0 });
    expect(places.get("c")).toEqual({ column: 1, row: 1 });
  });
});

describe("live hints", () => {
  it("touch the queries that they are about", () => {
    expect(isAbout(["runs", "UID1", "steps"], { topic: "run:UID1" })).toBe(true);
    expect(isAbout(["runs", "acme/wine"], { topic: "run:UID1" })).toBe(true);
    expect(isAbout(["endpoints", "x"], { topic: "run:UID1" })).toBe(false);
    expect(isAbout(["tokens"], { resync: true })).toBe(true);
  });
});

describe("tar", () => {
  it("has the right size and checksum field", async () => {
    const data = new TextEncoder().encode("hello");
    const packed = new Uint8Array(await tar([{ path: "a/b.txt", data }]).arrayBuffer());
    expect(packed.length).toBe(512 + 512 + 1024);
    expect(new TextDecoder().decode(packed.slice(0, 7))).toBe("a/b.txt");
    expect(() => tar([{ path: "x".repeat(300), data }])).toThrow("too long");
  });
});
