"""Keeping the portal's cookies from user code, and user code from setting them.

Cookies ignore ports: a browser that is signed in to the portal sends its session to every
endpoint on the same host. The filter is Lua because Envoy's header mutations replace whole
headers only; requests and answers without cookies leave it after one look-up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

_SCRIPT = """
local private = { %s }

local function name_of(pair)
  return pair:match("^%%s*([^=;%%s]*)")
end

local function rewritten(headers, header, keep)
  local values, changed = {}, false
  for i = 0, headers:getNumValues(header) - 1 do
    local value = headers:getAtIndex(header, i)
    local left = keep(value)
    if left ~= value then changed = true end
    if left ~= nil and left ~= "" then values[#values + 1] = left end
  end
  if not changed then return end
  headers:remove(header)
  for _, value in ipairs(values) do headers:add(header, value) end
end

local function without_private(cookie)
  local kept, dropped = {}, false
  for pair in cookie:gmatch("[^;]+") do
    if private[name_of(pair)] then dropped = true
    else kept[#kept + 1] = pair:match("^%%s*(.-)%%s*$") end
  end
  if not dropped then return cookie end
  return table.concat(kept, "; ")
end

local function unless_private(set_cookie)
  if private[name_of(set_cookie)] then return nil end
  return set_cookie
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get("cookie") == nil then return end
  rewritten(headers, "cookie", without_private)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("set-cookie") == nil then return end
  rewritten(headers, "set-cookie", unless_private)
end
"""


def script(names: Sequence[str]) -> str:
    """The Lua source for these cookie names (ASCII)."""
    return _SCRIPT % ", ".join(f"[{json.dumps(name)}] = true" for name in names)
