/**
 * The few calls of the C library that let the kernel send a file by itself, and the one that gives memory back; the
 * runtime offers none of them.
 *
 * What they need is the permission for foreign functions, and Linux with glibc. Where that is missing there is no
 * {@linkcode Libc}, and everything works without it.
 *
 * @module
 */

/**
 * Where glibc lies: in Debian and its images, in Fedora and SUSE, in Arch. Permissions are given by path (`--allow-ffi` of
 * the task `compile`), so that a bare name could be opened only with one for all libraries.
 */
export const LIBC_PATHS: readonly string[] = [
  "/lib/x86_64-linux-gnu/libc.so.6",
  "/lib/aarch64-linux-gnu/libc.so.6",
  "/lib64/libc.so.6",
  "/usr/lib/libc.so.6",
];

const O_RDONLY_CLOEXEC = 0o2000000;

const SEEK_SET = 0;

/** Flag of `preadv2`: fail rather than wait for the disk. */
const RWF_NOWAIT = 8;

/** Most bytes that are sent without a thread, if they are in the page cache; some 0.2 ms. */
export const MAX_SENT_AT_ONCE = 1024 * 1024;

/** Whether a part of a file is in the page cache is found out by a look at one byte in so many. */
const LOOK_EVERY = 128 * 1024;

const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  fstat: { parameters: ["i32", "buffer"], result: "i32" },
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  preadv2: { parameters: ["i32", "buffer", "i32", "i64", "i32"], result: "isize" },
  sendfile: { parameters: ["i32", "i32", "buffer", "usize"], result: "isize" },
  sendfileInThread: {
    name: "sendfile",
    parameters: ["i32", "i32", "buffer", "usize"],
    result: "isize",
    nonblocking: true,
  },
  malloc_trim: { parameters: ["usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What the runtime and the kernel both tell of an open file: device and inode. */
export interface FileIdentity {
  readonly dev: number;
  readonly ino: number | null;
}

/** Calls of the C library. Descriptors are the kernel's own numbers. */
export interface Libc extends Disposable {
  /** Opens a file for reading; undefined if that fails. */
  open(path: string): number | undefined;
  close(descriptor: number): void;
  /** Whether a descriptor is that of a given file. */
  isFile(descriptor: number, file: FileIdentity): boolean;
  /** TCP port at the other end of a descriptor; undefined if it is no connected socket. */
  peerPort(descriptor: number): number | undefined;
  /**
   * Sends bytes of a file to a socket, as many as it takes at once. Bytes that may have to come from disk, and many of them,
   * in a thread.
   *
   * @param socket Descriptor of a socket that does not block. Has to stay open until the promise is settled.
   * @param file Descriptor of the file, likewise. Its own position is moved, so it takes one call at a time.
   * @param position Position of the first byte in the file, in bytes.
   * @param count Most bytes to send.
   * @returns Number of bytes sent; 0 if the socket takes none now, and for anything that went wrong.
   */
  sendfile(socket: number, file: number, position: number, count: number): Promise<number>;
  /** Gives memory that lies free between what is in use back to the system; some milliseconds at most. */
  trim(): void;
}

/**
 * Opens the C library.
 *
 * @param paths Where to look for it.
 * @returns Its calls; undefined where they are not permitted or not to be had.
 */
export function openLibc(paths: readonly string[] = LIBC_PATHS): Libc | undefined {
  if (Deno.build.os !== "linux") return undefined;
  for (const path of paths) {
    // Asked first: an attempt without permission would prompt whoever sits at a terminal.
    if (Deno.permissions.querySync({ name: "ffi", path }).state !== "granted") continue;
    try {
      return callsOf(Deno.dlopen(path, SYMBOLS));
    } catch {
      // Not there, or another C library.
    }
  }
  return undefined;
}

function callsOf(library: Deno.DynamicLibrary<typeof SYMBOLS>): Libc {
  // Taken out once: a call by way of `library.symbols` is ten times as slow.
  const {
    open,
    close,
    fstat,
    getpeername,
    lseek,
    preadv2,
    sendfile,
    sendfileInThread,
    malloc_trim: trim,
  } = library.symbols;
  const encoder = new TextEncoder();
  // Memory that calls write to is made as an ArrayBuffer of its own: short typed arrays lie where the garbage collector
  // moves things about.
  // struct stat begins with st_dev and st_ino, 64 bits each, on the architectures that there is a Deno for.
  const stat = new BigUint64Array(new ArrayBuffer(256));
  // struct sockaddr_in and sockaddr_in6: 16 bits of family, then the port in network order.
  const address = new DataView(new ArrayBuffer(128));
  const addressLength = new Uint32Array(new ArrayBuffer(4));
  // struct iovec, which points to the byte behind itself.
  const memory = new ArrayBuffer(17);
  const vector = new BigUint64Array(memory, 0, 2);
  vector[0] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)) + 16n;
  vector[1] = 1n;
  const isByteCached = (file: number, position: number) =>
    Number(preadv2(file, vector, 1, BigInt(position), RWF_NOWAIT)) === 1;
  const isCached = (file: number, position: number, count: number) => {
    for (let at = position; at < position + count; at += LOOK_EVERY) {
      if (!isByteCached(file, at)) return false;
    }
    return isByteCached(file, position + count - 1);
  };
  return {
    open(path) {
      const descriptor = open(encoder.encode(`${path}\0`), O_RDONLY_CLOEXEC);
      return descriptor < 0 ? undefined : descriptor;
    },
    close: (descriptor) => void close(descriptor),
    isFile(descriptor, { dev, ino }) {
      if (fstat(descriptor, stat) !== 0) return false;
      return Number(stat[0]) === dev && Number(stat[1]) === ino;
    },
    peerPort(descriptor) {
      addressLength[0] = address.byteLength;
      if (getpeername(descriptor, address.buffer, addressLength) !== 0) return undefined;
      return address.getUint16(2);
    },
    async sendfile(socket, file, position, count) {
      if (lseek(file, BigInt(position), SEEK_SET) !== BigInt(position)) return 0;
      // From the position of the descriptor: memory for an offset would have to outlive a call in a thread.
      const sent = count <= MAX_SENT_AT_ONCE && isCached(file, position, count)
        ? sendfile(socket, file, null, BigInt(count))
        : await sendfileInThread(socket, file, null, BigInt(count));
      return Math.max(0, Number(sent));
    },
    trim: () => void trim(0n),
    [Symbol.dispose]: () => library.close(),
  };
}
