/**
 * The part of the CRI that pulls images, as the kubelet does.
 *
 * @see https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto
 * @module
 */
import { Client, credentials, Metadata, type ServiceDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

/** What the kubelet sends along with a pull, from a pull secret. */
export interface PullCredentials {
  readonly username: string;
  readonly password: string;
}

const image = { fields: { image: { type: "string", id: 1 } } };

// protobufjs' types want a comment on each method.
const DEFINITION = fromJSON(
  {
    nested: {
      runtime: {
        nested: {
          v1: {
            nested: {
              ImageSpec: image,
              AuthConfig: {
                fields: {
                  username: { type: "string", id: 1 },
                  password: { type: "string", id: 2 },
                },
              },
              PullImageRequest: {
                fields: {
                  image: { type: "ImageSpec", id: 1 },
                  auth: { type: "AuthConfig", id: 2 },
                },
              },
              PullImageResponse: { fields: { imageRef: { type: "string", id: 1 } } },
              RemoveImageRequest: { fields: { image: { type: "ImageSpec", id: 1 } } },
              RemoveImageResponse: { fields: {} },
              ImageService: {
                methods: {
                  PullImage: { requestType: "PullImageRequest", responseType: "PullImageResponse" },
                  RemoveImage: {
                    requestType: "RemoveImageRequest",
                    responseType: "RemoveImageResponse",
                  },
                },
              },
            },
          },
        },
      },
    },
  } as unknown as Parameters<typeof fromJSON>[0],
);

/** Longest pull, in milliseconds. */
const PULL_TIMEOUT_MS = 120_000;

/** Client of the CRI of one containerd. */
export class CriClient implements Disposable {
  readonly #client: Client;

  constructor(sock: string) {
    this.#client = new Client(`unix://${sock}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      // The default grows to two minutes while containerd is restarted.
      "grpc.max_reconnect_backoff_ms": 1000,
    });
  }

  /**
   * Pulls an image.
   *
   * @returns Digest of its config.
   */
  async pullImage(reference: string, auth?: PullCredentials): Promise<string> {
    const request = { image: { image: reference }, ...(auth === undefined ? {} : { auth }) };
    const { imageRef } = await this.#call<{ imageRef: string }>("PullImage", request);
    return imageRef;
  }

  /** Removes an image. */
  async removeImage(reference: string): Promise<void> {
    await this.#call("RemoveImage", { image: { image: reference } });
  }

  #call<Response>(name: string, request: unknown): Promise<Response> {
    const service = DEFINITION["runtime.v1.ImageService"] as ServiceDefinition;
    const method = service[name]!;
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + PULL_TIMEOUT_MS },
      (error, response) => error === null ? resolve(response as Response) : reject(error),
    );
    return promise;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
