/** A plain tar (ustar) of picked files, made in the browser. Source: POSIX.1-1988 ustar. */
export interface Entry {
  path: string;
  data: Uint8Array;
}

export function tar(entries: Entry[]): Blob {
  const parts: BlobPart[] = [];
  for (const entry of entries) {
    parts.push(header(entry), entry.data.slice(), new Uint8Array((512 - (entry.data.length % 512)) % 512));
  }
  parts.push(new Uint8Array(1024));
  return new Blob(parts, { type: "application/x-tar" });
}

function header(entry: Entry): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(512);
  const encoder = new TextEncoder();
  const put = (text: string, at: number) => block.set(encoder.encode(text), at);
  let name = entry.path;
  let prefix = "";
  if (encoder.encode(name).length > 100) {
    const cut = name.lastIndexOf("/", 150);
    prefix = name.slice(0, cut);
    name = name.slice(cut + 1);
    if (encoder.encode(name).length > 100 || encoder.encode(prefix).length > 155) throw new Error(`The path ${entry.path} is too long.`);
  }
  put(name, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${entry.data.length.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put("0", 156);
  put("ustar\u000000", 257);
  put(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

const IGNORED = /(^|\/)(\.git|\.venv|venv|__pycache__|node_modules|\.hekaton)(\/|$)|\.pyc$/;

/** The files of a picked folder, without the folder's own name and what is never submitted. */
export async function folderEntries(files: Iterable<File>): Promise<Entry[]> {
  const found: Entry[] = [];
  for (const file of files) {
    const path = file.webkitRelativePath.split("/").slice(1).join("/") || file.name;
    if (!IGNORED.test(path)) found.push({ path, data: new Uint8Array(await file.arrayBuffer()) });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}
