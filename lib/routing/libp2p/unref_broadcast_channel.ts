/**
 * Lets a process end by itself after its libp2p node has stopped. Imported for its effect.
 *
 * libp2p's peer store takes its locks from `mortice`, which opens one BroadcastChannel for locks of worker threads and
 * calls Node's `unref()` on it, so that it keeps no process alive. Deno's BroadcastChannel has no such method, and the
 * channel is never closed. Kagami has no worker that asks for locks; the channel can go.
 *
 * @module
 */

const MORTICE_CHANNEL = "mortice";

if (!("unref" in BroadcastChannel.prototype)) {
  Object.defineProperty(BroadcastChannel.prototype, "unref", {
    configurable: true,
    value(this: BroadcastChannel): void {
      if (this.name === MORTICE_CHANNEL) this.close();
    },
  });
}
