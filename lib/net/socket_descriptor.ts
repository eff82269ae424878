/**
 * The kernel's descriptor of a connection that belongs to the runtime.
 *
 * @module
 */
import { Socket } from "node:net";
import type { Libc } from "./libc.ts";

/** The part of Deno's `node:net` that gives descriptors away, made for passing sockets to other processes. */
interface DescriptorSource {
  /** @returns A duplicate of the socket's descriptor, which belongs to the caller; -1 if there is none. */
  fdForIpc(): number;
}

/**
 * Duplicates the descriptor of a plain TCP connection. The number stays that connection's until the duplicate is closed,
 * whatever becomes of the socket meanwhile: it cannot come to name another one.
 *
 * @param socket The connection.
 * @param libc Calls of the C library.
 * @returns The duplicate, to be closed by the caller; undefined if there is none that is certain to be the right one. Never
 * one of an encrypted connection.
 */
export function duplicateDescriptor(socket: Socket, libc: Libc): number | undefined {
  // By its very class: subclasses may change the bytes on their way, as TLS does.
  if (socket.constructor !== Socket || socket.destroyed) return undefined;
  const { _handle: handle } = socket as unknown as { readonly _handle?: unknown };
  if (!isDescriptorSource(handle)) return undefined;
  const descriptor = handle.fdForIpc();
  if (typeof descriptor !== "number" || descriptor < 0) return undefined;
  if (libc.peerPort(descriptor) === socket.remotePort) return descriptor;
  libc.close(descriptor);
  return undefined;
}

/** What it is called is not promised by any version of the runtime. */
function isDescriptorSource(handle: unknown): handle is DescriptorSource {
  return typeof handle === "object" && handle !== null && handle.constructor.name === "TCPWrap" &&
    "fdForIpc" in handle && typeof handle.fdForIpc === "function";
}
