/**
 * Traces of pulls, as OpenTelemetry has them.
 *
 * Deno brings the whole of it: with `OTEL_DENO=true` the runtime samples, batches and exports spans by OTLP outside of
 * the event loop that moves the bytes, and reads the standard `OTEL_*` variables. Nothing of it is loaded when it is off;
 * each place that could be traced then costs a look at an undefined value (docs/tracing.md).
 *
 * @module
 */
import type { Context, Span as ApiSpan, SpanOptions } from "@opentelemetry/api";
import { VERSION } from "../version.ts";

/** Facts about a span. What is undefined is left out. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Headers of a request, by lower-case name. */
export type HeaderReader = (name: string) => string | undefined;

/** Something that takes time within a pull. */
export interface Span {
  /** Adds facts. */
  set(attributes: Attributes): void;
  /** Something happened. */
  event(name: string, attributes?: Attributes): void;
  /** Runs work as a part of it. */
  within<T>(work: () => T): T;
  /**
   * It is over.
   *
   * @param error Why it failed, if it did.
   */
  end(error?: unknown): void;
}

/** Makes spans. There is none where traces are off. */
export interface Tracing {
  /**
   * Runs work as a span of the request that is under way; work that belongs to no request gets none.
   *
   * @param name Name of the span.
   * @param attributes What is known before.
   * @param work The work; what it throws ends the span as failed.
   */
  run<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>;
  /**
   * Begins a span of the request that is under way.
   *
   * @param name Name of the span.
   * @param attributes What is known before.
   * @returns The span; must be ended.
   */
  begin(name: string, attributes: Attributes): Span;
  /**
   * Runs the answer to a request as a span: of the client's trace, if its headers name one, else of a new trace.
   *
   * @param name Name of the span.
   * @param header The request's headers.
   * @param work The answer.
   */
  serve<T>(name: string, header: HeaderReader, work: (span: Span) => Promise<T>): Promise<T>;
  /** Runs work that waits for a peer, like {@linkcode run}. */
  ask<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>;
  /** @returns Headers by which a peer goes on with the trace. */
  headers(): Readonly<Record<string, string>>;
}

/** Headers of W3C Trace Context. */
const TRACE_HEADERS = ["traceparent", "tracestate"] as const;

/**
 * Whether the environment turns traces on, as Deno reads it.
 *
 * @param env The environment that the process was started with.
 */
export function wantsTraces(env: Readonly<Record<string, string | undefined>>): boolean {
  return env["OTEL_DENO"] === "true" && env["OTEL_DENO_TRACING"] !== "false" &&
    env["OTEL_SDK_DISABLED"] !== "true";
}

/**
 * Loads what traces need.
 *
 * @param env The environment that the process was started with.
 * @returns What makes spans; undefined if traces are off.
 */
export async function createTracing(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Tracing | undefined> {
  if (!wantsTraces(env)) return undefined;
  const api = await import("@opentelemetry/api");
  const { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = api;
  const tracer = trace.getTracer("kagami", VERSION);

  const spanOf = (span: ApiSpan, parent: Context): Span => {
    const own = trace.setSpan(parent, span);
    return {
      set: (attributes) => void span.setAttributes(attributes),
      event: (name, attributes) => void span.addEvent(name, attributes),
      within: (work) => context.with(own, work),
      end(error) {
        if (error !== undefined) {
          const message = error instanceof Error ? error.message : String(error);
          span.recordException(error instanceof Error ? error : message);
          span.setStatus({ code: SpanStatusCode.ERROR, message });
        }
        span.end();
      },
    };
  };
  const start = (name: string, options: SpanOptions, parent: Context): Span =>
    spanOf(tracer.startSpan(name, options, parent), parent);
  const runIn = async <T>(span: Span, work: (span: Span) => Promise<T>): Promise<T> => {
    let failure: unknown;
    try {
      return await span.within(() => work(span));
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      span.end(failure);
    }
  };
  const within = async <T>(
    name: string,
    options: SpanOptions,
    work: (span: Span) => Promise<T>,
  ): Promise<T> => {
    const parent = context.active();
    if (trace.getSpan(parent) === undefined) return await work(NO_SPAN);
    return await runIn(start(name, options, parent), work);
  };

  return {
    run: (name, attributes, work) => within(name, { attributes }, work),
    ask: (name, attributes, work) => within(name, { attributes, kind: SpanKind.CLIENT }, work),
    begin: (name, attributes) => {
      const parent = context.active();
      if (trace.getSpan(parent) === undefined) return NO_SPAN;
      return start(name, { attributes }, parent);
    },
    serve: async (name, header, work) => {
      const carrier: Record<string, string> = {};
      for (const key of TRACE_HEADERS) {
        const value = header(key);
        if (value !== undefined) carrier[key] = value;
      }
      const parent = propagation.extract(ROOT_CONTEXT, carrier);
      return await runIn(start(name, { kind: SpanKind.SERVER }, parent), work);
    },
    headers: () => {
      const carrier: Record<string, string> = {};
      propagation.inject(context.active(), carrier);
      return carrier;
    },
  };
}

const NO_SPAN: Span = {
  set: () => {},
  event: () => {},
  within: (work) => work(),
  end: () => {},
};
