/**
 * Writes into containerd's stores as its clients do: content with labels, and images that are nothing but names.
 *
 * `ctr` would take a process for each of thousands of images, and puts no labels on content that it writes.
 *
 * @see https://github.com/containerd/containerd/tree/main/api
 * @module
 */
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status as Status,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { type Digest, sha256Digest } from "../../../lib/oci/digest.ts";
import { NAMESPACE } from "./containerd_daemon.ts";

/** Largest part of a content in one message; containerd takes messages of 16 MiB at most. */
const PART_SIZE = 4 * 1024 * 1024;

/** Time limit of a call, in milliseconds. */
const CALL_TIMEOUT_MS = 30_000;

/** `containerd.services.content.v1.WriteAction`. */
const ACTION = { write: 1, commit: 2 } as const;

const string = (id: number) => ({ type: "string", id });
const int64 = (id: number) => ({ type: "int64", id });
const labels = (id: number) => ({ keyType: "string", type: "string", id });
const type = (fields: object) => ({ fields });
const service = (nested: object) => ({ nested: { v1: { nested } } });
const rpc = (requestType: string, responseType: string) => ({ requestType, responseType });

const DEFINITION = fromJSON(
  {
    nested: {
      containerd: {
        nested: {
          services: {
            nested: {
              content: service({
                WriteContentRequest: type({
                  action: { type: "int32", id: 1 },
                  ref: string(2),
                  total: int64(3),
                  expected: string(4),
                  offset: int64(5),
                  data: { type: "bytes", id: 6 },
                  labels: labels(7),
                }),
                WriteContentResponse: type({}),
                DeleteContentRequest: type({ digest: string(1) }),
                Empty: type({}),
                Content: {
                  methods: {
                    Write: {
                      ...rpc("WriteContentRequest", "WriteContentResponse"),
                      requestStream: true,
                      responseStream: true,
                    },
                    Delete: rpc("DeleteContentRequest", "Empty"),
                  },
                },
              }),
              images: service({
                Descriptor: type({ mediaType: string(1), digest: string(2), size: int64(3) }),
                Image: type({ name: string(1), target: { type: "Descriptor", id: 3 } }),
                WriteImageRequest: type({ image: { type: "Image", id: 1 } }),
                WriteImageResponse: type({}),
                DeleteImageRequest: type({ name: string(1), sync: { type: "bool", id: 2 } }),
                Empty: type({}),
                Images: {
                  methods: {
                    Create: rpc("WriteImageRequest", "WriteImageResponse"),
                    Update: rpc("WriteImageRequest", "WriteImageResponse"),
                    Delete: rpc("DeleteImageRequest", "Empty"),
                  },
                },
              }),
              leases: service({
                CreateRequest: type({ id: string(1) }),
                CreateResponse: type({}),
                DeleteRequest: type({ id: string(1) }),
                Empty: type({}),
                Leases: {
                  methods: {
                    Create: rpc("CreateRequest", "CreateResponse"),
                    Delete: rpc("DeleteRequest", "Empty"),
                  },
                },
              }),
            },
          },
        },
      },
    },
  } as unknown as Parameters<typeof fromJSON>[0],
);

/** What an image name points to. */
export interface ImageTarget {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Client that writes into one namespace of a containerd. */
export class ContainerdWriter implements Disposable {
  readonly #client: Client;
  readonly #namespace: string;
  #leases = 0;
  #lease: string | undefined;

  constructor(sock: string, namespace: string = NAMESPACE) {
    this.#namespace = namespace;
    this.#client = new Client(`unix://${sock}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Keeps what is written meanwhile from garbage collection, until images refer to it. */
  async leased(write: () => Promise<void>): Promise<void> {
    const id = `test-${Deno.pid}-${++this.#leases}`;
    await this.#call("leases", "Leases", "Create", { id });
    this.#lease = id;
    try {
      await write();
    } finally {
      this.#lease = undefined;
      await this.#call("leases", "Leases", "Delete", { id });
    }
  }

  /**
   * Writes content, which without a lease is kept for good: garbage collection also runs when containerd starts. Content
   * that is there already stays as it is.
   */
  async putContent(
    bytes: Uint8Array,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<Digest> {
    const expected = sha256Digest(bytes);
    const { call, ended } = this.#write();
    const common = { ref: `test-${expected}`, total: bytes.length, expected };
    let offset = 0;
    while (bytes.length - offset > PART_SIZE) {
      const data = bytes.subarray(offset, offset + PART_SIZE);
      call.write({ ...common, action: ACTION.write, offset, data });
      offset += PART_SIZE;
    }
    const data = bytes.subarray(offset);
    const kept = this.#lease === undefined ? { "containerd.io/gc.root": "test" } : {};
    const all = { ...kept, ...labels };
    call.write({ ...common, action: ACTION.commit, offset, data, labels: all });
    call.end();
    try {
      await ended;
    } catch (error) {
      if ((error as ServiceError).code !== Status.ALREADY_EXISTS) throw error;
    }
    return expected;
  }

  /**
   * Puts the beginning of content in, as a download does.
   *
   * @param bytes All of it.
   * @param count Length of the beginning.
   * @returns What puts the rest in.
   */
  beginContent(bytes: Uint8Array, count: number): () => Promise<void> {
    const expected = sha256Digest(bytes);
    const { call, ended } = this.#write();
    const common = { ref: `layer-${expected}`, total: bytes.length, expected };
    call.write({ ...common, action: ACTION.write, offset: 0, data: bytes.subarray(0, count) });
    return async () => {
      const data = bytes.subarray(count);
      // Without the label garbage collection, which runs at containerd's start, may take it away at once.
      const labels = { "containerd.io/gc.root": "test" };
      call.write({ ...common, action: ACTION.commit, offset: count, data, labels });
      call.end();
      await ended;
    };
  }

  #write() {
    const { path, requestSerialize, responseDeserialize } = method("content", "Content", "Write");
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata(),
      { deadline: Date.now() + CALL_TIMEOUT_MS },
    );
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
    call.on("data", () => {});
    call.on("error", reject);
    call.on("end", resolve);
    return { call, ended };
  }

  /** Deletes content, whatever refers to it. */
  async deleteContent(digest: string): Promise<void> {
    await this.#call("content", "Content", "Delete", { digest });
  }

  /** Names an image, or points the name to another one. */
  async putImage(name: string, target: ImageTarget): Promise<void> {
    const request = { image: { name, target } };
    try {
      await this.#call("images", "Images", "Create", request);
    } catch (error) {
      if ((error as ServiceError).code !== Status.ALREADY_EXISTS) throw error;
      await this.#call("images", "Images", "Update", request);
    }
  }

  /**
   * Takes an image's name away.
   *
   * @param name The name.
   * @param sync Whether to wait until its content is removed.
   */
  async deleteImage(name: string, sync = false): Promise<void> {
    await this.#call("images", "Images", "Delete", { name, sync });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    metadata.set("containerd-namespace", this.#namespace);
    if (this.#lease !== undefined) metadata.set("containerd-lease", this.#lease);
    return metadata;
  }

  #call(area: string, service: string, name: string, request: object): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = method(area, service, name);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadata(),
      { deadline: Date.now() + CALL_TIMEOUT_MS },
      (error) => error === null ? resolve() : reject(error),
    );
    return promise;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function method(area: string, service: string, name: string): MethodDefinition<object, object> {
  const definition = DEFINITION[`containerd.services.${area}.v1.${service}`] as ServiceDefinition;
  return definition[name] as MethodDefinition<object, object>;
}
