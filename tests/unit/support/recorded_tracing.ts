/**
 * Traces kept in memory.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type {
  Attributes,
  HeaderReader,
  Span,
  Tracing,
} from "../../../lib/observability/tracing.ts";

/** A span as it was recorded. */
export interface RecordedSpan {
  readonly name: string;
  /** Name of the span that it is a part of. */
  readonly parent: string | undefined;
  readonly attributes: Record<string, unknown>;
  readonly events: string[];
  isEnded: boolean;
  error: unknown;
}

/** Records all spans, also those that belong to no request. */
export class RecordedTracing implements Tracing {
  readonly spans: RecordedSpan[] = [];
  readonly #current = new AsyncLocalStorage<string>();

  /** Spans of a name, in the order in which they began. */
  named(name: string): RecordedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  begin(name: string, attributes: Attributes): Span {
    const span: RecordedSpan = {
      name,
      parent: this.#current.getStore(),
      attributes: { ...attributes },
      events: [],
      isEnded: false,
      error: undefined,
    };
    this.spans.push(span);
    return {
      set: (more) => void Object.assign(span.attributes, more),
      event: (event) => void span.events.push(event),
      within: (work) => this.#current.run(name, work),
      end: (error) => void Object.assign(span, { isEnded: true, error }),
    };
  }

  async run<T>(
    name: string,
    attributes: Attributes,
    work: (span: Span) => Promise<T>,
  ): Promise<T> {
    const span = this.begin(name, attributes);
    try {
      const result = await span.within(() => work(span));
      span.end();
      return result;
    } catch (error) {
      span.end(error);
      throw error;
    }
  }

  ask<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
    return this.run(name, attributes, work);
  }

  serve<T>(name: string, _header: HeaderReader, work: (span: Span) => Promise<T>): Promise<T> {
    return this.run(name, {}, work);
  }

  headers(): Readonly<Record<string, string>> {
    const current = this.#current.getStore();
    return current === undefined ? {} : { traceparent: current };
  }
}
