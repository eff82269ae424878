/**
 * The part of containerd's gRPC API that Kagami uses. Message and field numbers are those of containerd 1.6; 1.7 and
 * 2.x keep them.
 *
 * @see https://github.com/containerd/containerd/tree/main/api
 * @see https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto
 * @module
 */
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

/** Labels and exports. */
export type StringMap = Readonly<Record<string, string>>;

/** `containerd.services.images.v1.Image`. */
export interface ImageMessage {
  readonly name: string;
  readonly target: {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: string;
  } | null;
}

/** `containerd.services.content.v1.Info`. */
export interface InfoMessage {
  readonly digest: string;
  /** Bytes, as decimal text. */
  readonly size: string;
  readonly labels: StringMap;
}

/** `containerd.services.introspection.v1.Plugin`. */
export interface PluginMessage {
  readonly type: string;
  readonly id: string;
  readonly exports: StringMap;
}

/** `containerd.services.content.v1.Status`: a content that is being written. */
export interface StatusMessage {
  readonly ref: string;
  /** Bytes written, as decimal text. */
  readonly offset: string;
  /** Size, as decimal text; 0 if it is not known. */
  readonly total: string;
}

const string = (id: number) => ({ type: "string", id });
const int64 = (id: number) => ({ type: "int64", id });
const message = (type: string, id: number) => ({ type, id });
const repeated = (type: string, id: number) => ({ rule: "repeated", type, id });
const stringMap = (id: number) => ({ keyType: "string", type: "string", id });
const rpc = (requestType: string, responseType: string, responseStream = false) => ({
  requestType,
  responseType,
  ...(responseStream ? { responseStream } : {}),
});
const type = (fields: object) => ({ fields });
const empty = ".google.protobuf.Empty";

const ROOT = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: {
            Empty: type({}),
            Any: type({ typeUrl: string(1), value: { type: "bytes", id: 2 } }),
          },
        },
      },
    },
    containerd: {
      nested: {
        services: {
          nested: {
            version: {
              nested: {
                v1: {
                  nested: {
                    VersionResponse: type({ version: string(1), revision: string(2) }),
                    Version: { methods: { Version: rpc(empty, "VersionResponse") } },
                  },
                },
              },
            },
            introspection: {
              nested: {
                v1: {
                  nested: {
                    PluginsRequest: type({ filters: repeated("string", 1) }),
                    Plugin: type({ type: string(1), id: string(2), exports: stringMap(5) }),
                    PluginsResponse: type({ plugins: repeated("Plugin", 1) }),
                    Introspection: {
                      methods: { Plugins: rpc("PluginsRequest", "PluginsResponse") },
                    },
                  },
                },
              },
            },
            images: {
              nested: {
                v1: {
                  nested: {
                    Descriptor: type({ mediaType: string(1), digest: string(2), size: int64(3) }),
                    Image: type({ name: string(1), target: message("Descriptor", 3) }),
                    GetImageRequest: type({ name: string(1) }),
                    GetImageResponse: type({ image: message("Image", 1) }),
                    ListImagesRequest: type({ filters: repeated("string", 1) }),
                    ListImagesResponse: type({ images: repeated("Image", 1) }),
                    Images: {
                      methods: {
                        Get: rpc("GetImageRequest", "GetImageResponse"),
                        List: rpc("ListImagesRequest", "ListImagesResponse"),
                      },
                    },
                  },
                },
              },
            },
            content: {
              nested: {
                v1: {
                  nested: {
                    Info: type({ digest: string(1), size: int64(2), labels: stringMap(5) }),
                    InfoRequest: type({ digest: string(1) }),
                    InfoResponse: type({ info: message("Info", 1) }),
                    ListContentRequest: type({ filters: repeated("string", 1) }),
                    ListContentResponse: type({ info: repeated("Info", 1) }),
                    ReadContentRequest: type({
                      digest: string(1),
                      offset: int64(2),
                      size: int64(3),
                    }),
                    ReadContentResponse: type({ offset: int64(1), data: { type: "bytes", id: 2 } }),
                    Status: type({ ref: string(3), offset: int64(4), total: int64(5) }),
                    ListStatusesRequest: type({ filters: repeated("string", 1) }),
                    ListStatusesResponse: type({ statuses: repeated("Status", 1) }),
                    Content: {
                      methods: {
                        ListStatuses: rpc("ListStatusesRequest", "ListStatusesResponse"),
                        Info: rpc("InfoRequest", "InfoResponse"),
                        List: rpc("ListContentRequest", "ListContentResponse", true),
                        Read: rpc("ReadContentRequest", "ReadContentResponse", true),
                      },
                    },
                  },
                },
              },
            },
            events: {
              nested: {
                v1: {
                  nested: {
                    PublishRequest: type({
                      topic: string(1),
                      event: message(".google.protobuf.Any", 2),
                    }),
                    SubscribeRequest: type({ filters: repeated("string", 1) }),
                    Envelope: type({ namespace: string(2), topic: string(3) }),
                    Events: {
                      methods: {
                        Publish: rpc("PublishRequest", empty),
                        Subscribe: rpc("SubscribeRequest", "Envelope", true),
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
    runtime: {
      nested: {
        v1: {
          nested: {
            StatusRequest: type({ verbose: { type: "bool", id: 1 } }),
            StatusResponse: type({ info: stringMap(2) }),
            RuntimeService: { methods: { Status: rpc("StatusRequest", "StatusResponse") } },
          },
        },
      },
    },
  },
};

const DEFINITION = fromJSON(ROOT as Parameters<typeof fromJSON>[0], {
  keepCase: false,
  longs: String,
  defaults: true,
});

/** A method with the types of its messages, as the schema above defines them. */
export type Method<Request, Response> = MethodDefinition<Request, Response>;

function method<Request, Response>(service: string, name: string): Method<Request, Response> {
  // proto-loader knows no types; they are stated once, right below.
  return (DEFINITION[service] as ServiceDefinition)[name] as Method<Request, Response>;
}

const services = "containerd.services";

/** The methods that Kagami calls. */
export const METHODS = {
  version: method<object, { version: string; revision: string }>(
    `${services}.version.v1.Version`,
    "Version",
  ),
  plugins: method<{ filters: string[] }, { plugins: PluginMessage[] }>(
    `${services}.introspection.v1.Introspection`,
    "Plugins",
  ),
  getImage: method<{ name: string }, { image: ImageMessage | null }>(
    `${services}.images.v1.Images`,
    "Get",
  ),
  listImages: method<{ filters: string[] }, { images: ImageMessage[] }>(
    `${services}.images.v1.Images`,
    "List",
  ),
  contentInfo: method<{ digest: string }, { info: InfoMessage | null }>(
    `${services}.content.v1.Content`,
    "Info",
  ),
  listContent: method<{ filters: string[] }, { info: InfoMessage[] }>(
    `${services}.content.v1.Content`,
    "List",
  ),
  readContent: method<{ digest: string; offset: number; size: number }, { data: Uint8Array }>(
    `${services}.content.v1.Content`,
    "Read",
  ),
  listStatuses: method<{ filters: string[] }, { statuses: StatusMessage[] }>(
    `${services}.content.v1.Content`,
    "ListStatuses",
  ),
  publish: method<{ topic: string; event: { typeUrl: string; value: Uint8Array } }, object>(
    `${services}.events.v1.Events`,
    "Publish",
  ),
  subscribe: method<{ filters: string[] }, { namespace: string; topic: string }>(
    `${services}.events.v1.Events`,
    "Subscribe",
  ),
  runtimeStatus: method<{ verbose: boolean }, { info: StringMap }>(
    "runtime.v1.RuntimeService",
    "Status",
  ),
} as const;
