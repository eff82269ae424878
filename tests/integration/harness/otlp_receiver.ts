/**
 * A receiver of OTLP over HTTP, for spans as JSON.
 *
 * @module
 */
import { eventually } from "../../unit/support/eventually.ts";

/** A span that was received. */
export interface ReceivedSpan {
  /** Value of `service.instance.id` of the process that sent it. */
  readonly instance: string;
  /** Who made it: `kagami`, or `deno` for the runtime's own. */
  readonly scope: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  /** 2 for a server, 3 for a client. */
  readonly kind: number;
  readonly attributes: ReadonlyMap<string, unknown>;
  readonly isError: boolean;
}

/** What was received besides spans as JSON: path and content type. */
export interface OtherExport {
  readonly path: string;
  readonly contentType: string;
  readonly bytes: number;
}

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OtlpTraces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans:
        readonly (Omit<ReceivedSpan, "instance" | "scope" | "attributes" | "isError"> & {
          readonly attributes: readonly KeyValue[];
          readonly status: { readonly code: number };
        })[];
    }[];
  }[];
}

const ERROR = 2;

/** Listens on a loopback port until it is disposed. */
export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  readonly others: OtherExport[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#take(request),
    );
  }

  /** Base URL, for `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** Waits until spans of Kagami have come that a test looks for. */
  async received(
    what: string,
    find: (spans: readonly ReceivedSpan[]) => boolean,
  ): Promise<ReceivedSpan[]> {
    return await eventually(what, () => {
      const own = this.spans.filter(({ scope }) => scope === "kagami");
      return find(own) ? own : undefined;
    });
  }

  async #take(request: Request): Promise<Response> {
    const bytes = await request.bytes();
    const contentType = request.headers.get("content-type") ?? "";
    const path = new URL(request.url).pathname;
    if (path === "/v1/traces" && contentType === "application/json") {
      this.#takeTraces(JSON.parse(new TextDecoder().decode(bytes)));
      return Response.json({});
    }
    this.others.push({ path, contentType, bytes: bytes.length });
    return new Response(null, { headers: { "Content-Type": contentType } });
  }

  #takeTraces({ resourceSpans }: OtlpTraces): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const instance = String(valuesOf(resource.attributes).get("service.instance.id"));
      for (const { scope, spans } of scopeSpans) {
        for (const { attributes, status, ...span } of spans) {
          this.spans.push({
            ...span,
            instance,
            scope: scope.name,
            attributes: valuesOf(attributes),
            isError: status.code === ERROR,
          });
        }
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function valuesOf(attributes: readonly KeyValue[]): Map<string, unknown> {
  return new Map(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
