/**
 * What a trace tells of a request to the registry.
 *
 * @module
 */
import type { Exchange } from "../registry/registry_server.ts";
import type { Attributes } from "./tracing.ts";

/**
 * Describes an answered request, with the names of the OpenTelemetry conventions where they have one.
 *
 * @param exchange The request and its answer.
 * @returns Attributes of its span.
 */
export function exchangeAttributes(exchange: Exchange): Attributes {
  const { method, path, status, bytes, complete, agent, range, answer } = exchange;
  const { handler, path: asked, source, isGrowing } = answer.facts;
  return {
    "http.request.method": method,
    "url.path": path,
    "http.response.status_code": status,
    "http.response.body.size": bytes,
    "user_agent.original": agent,
    "kagami.range": range,
    "kagami.handler": handler,
    "kagami.kind": asked?.kind,
    "kagami.registry": asked?.registry,
    "kagami.repository": asked?.repository,
    "kagami.digest": asked?.digest ?? answer.headers["Docker-Content-Digest"],
    "kagami.tag": asked?.digest === undefined ? asked?.key : undefined,
    "kagami.source": source,
    "kagami.growing": isGrowing,
    "kagami.complete": complete,
  };
}
