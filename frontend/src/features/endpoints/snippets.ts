/** The same request as curl, Python and JavaScript. */
export function snippets(url: string, request: { method: string; path: string; body: string }, key: boolean): [string, string][] {
  const address = `${url}${request.path}`;
  const flat = compact(request.body);
  const quoted = flat.replaceAll("'", `'\\''`);
  const curl = [
    `curl -sS -X ${request.method} ${address}`,
    ...(key ? [`-H "Authorization: Bearer $HEKATON_KEY"`] : []),
    ...(flat ? [`-H 'Content-Type: application/json'`, `-d '${quoted}'`] : []),
  ].join(" \\\n  ");
  const python = [
    "import os, httpx",
    "",
    `answer = httpx.request("${request.method}", "${address}",`,
    ...(key ? [`    headers={"Authorization": f"Bearer {os.environ['HEKATON_KEY']}"},`] : []),
    ...(flat ? [`    content=${JSON.stringify(flat)},`] : []),
    ")",
    "answer.raise_for_status()",
    "print(answer.json())",
  ].join("\n");
  const javascript = [
    `const answer = await fetch("${address}", {`,
    `  method: "${request.method}",`,
    `  headers: { ${[...(key ? ["Authorization: `Bearer ${process.env.HEKATON_KEY}`"] : []), ...(flat ? [`"Content-Type": "application/json"`] : [])].join(", ")} },`,
    ...(flat ? [`  body: ${JSON.stringify(flat)},`] : []),
    "});",
    "console.log(await answer.json());",
  ].join("\n");
  return [
    ["curl", curl],
    ["Python", python],
    ["JavaScript", javascript],
  ];
}

function compact(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body));
  } catch {
    return body;
  }
}
