/**
 * Which repositories are private: their content is handed out only to those who proved that they may have it.
 *
 * @module
 */
import type { PrivateRegistry } from "../config/value_parsers.ts";
import { withoutPort } from "../oci/filter.ts";
import type { Source } from "../store/store.ts";

/** Tells private repositories from others. */
export class PrivateRegistries {
  readonly #registries: readonly PrivateRegistry[];

  /**
   * @param registries What is private.
   */
  constructor(registries: readonly PrivateRegistry[]) {
    this.#registries = registries.map((one) => ({ ...one, host: one.host.toLowerCase() }));
  }

  /**
   * @param source A repository, by its full name.
   * @returns True if it is private.
   */
  covers(source: Source): boolean {
    const registry = source.registry.toLowerCase();
    return this.#some(source, (host) => host === registry);
  }

  /**
   * The same for a source of content whose host may lack its port, as in containerd's labels: what cannot be told apart
   * is private.
   *
   * @param source A source of a content.
   * @returns True if it may be private.
   */
  mayCover(source: Source): boolean {
    return this.#some(source, (host) => isSameHost(host, source.registry.toLowerCase()));
  }

  #some({ repository }: Source, isHost: (host: string) => boolean): boolean {
    return this.#registries.some(({ host, prefix }) =>
      isHost(host) &&
      (prefix === undefined || repository === prefix || repository.startsWith(`${prefix}/`))
    );
  }

  /**
   * @param registry Host of a registry with private repositories.
   * @returns Where it is, if nothing else says so.
   */
  urlOf(registry: string): string | undefined {
    const host = registry.toLowerCase();
    return this.#registries.find((one) => one.host === host)?.url;
  }
}

/**
 * Whether two names mean the same repository, where the host of one may lack its port.
 *
 * @param one A repository.
 * @param other Another one.
 * @returns True if nothing tells them apart.
 */
export function isSameSource(one: Source, other: Source): boolean {
  return one.repository === other.repository &&
    isSameHost(one.registry.toLowerCase(), other.registry.toLowerCase());
}

function isSameHost(one: string, other: string): boolean {
  if (one === other) return true;
  const [bareOne, bareOther] = [withoutPort(one), withoutPort(other)];
  return bareOne === bareOther && (one === bareOne || other === bareOther);
}
