"""Keeping the portal's cookies from user code, and user code from setting them.

Cookies ignore ports: a browser that is signed in to the portal sends its session to every
endpoint on the same host. The filters are Lua because Envoy's header mutations replace whole
headers only, and each stands behind a matcher: what carries no such header never enters Lua.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Config = dict[str, Any]
TYPE = "type.googleapis.com/"
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
"""
_ON_REQUEST = """
function envoy_on_request(handle)
  rewritten(handle:headers(), "cookie", without_private)
end
"""
_ON_RESPONSE = """
function envoy_on_response(handle)
  rewritten(handle:headers(), "set-cookie", unless_private)
end
"""


def filters(names: Sequence[str]) -> list[Config]:
    """HTTP filters that take cookies of these names (ASCII) out of requests and answers."""
    shared = _SCRIPT % ", ".join(f"[{json.dumps(name)}] = true" for name in names)
    return [
        _only_with("cookies-in", "HttpRequestHeaderMatchInput", "cookie", shared + _ON_REQUEST),
        _only_with(
            "cookies-out", "HttpResponseHeaderMatchInput", "set-cookie", shared + _ON_RESPONSE
        ),
    ]


def _only_with(name: str, matched: str, header: str, source: str) -> Config:
    present = {
        "single_predicate": {
            "input": {
                "name": header,
                "typed_config": {
                    "@type": f"{TYPE}envoy.type.matcher.v3.{matched}",
                    "header_name": header,
                },
            },
            "value_match": {"safe_regex": {"google_re2": {}, "regex": "(?s).*"}},
        }
    }
    skip = {
        "name": "skip",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
        },
    }
    return {
        "name": name,
        "typed_config": {
            "@type": TYPE + "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {
                "name": "lua",
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": source},
                },
            },
            "xds_matcher": {
                "matcher_list": {
                    "matchers": [
                        {"predicate": {"not_matcher": present}, "on_match": {"action": skip}}
                    ]
                }
            },
        },
    }
