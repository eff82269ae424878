/**
 * What a running mirror tells of itself at `/debug/` of its metrics address, as JSON. `kagami doctor` and `kagami status`
 * read it.
 *
 * @module
 */
import type { Links, LostPeer, Peer } from "../routing/router.ts";
import type { Download } from "../share/messages.ts";

/** Path of a {@linkcode NodeStatus}. */
export const STATUS_PATH = "/debug/status";

/** Path of a {@linkcode Location}; the query `key` names the digest or the full tag reference. */
export const LOCATE_PATH = "/debug/locate";

/** A part of the service. */
export interface PartStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly detail: string;
}

/** Transfers in one direction. */
export interface TransferStatus {
  /** Contents that are under way. */
  readonly active: number;
  /** Most of them at the same time; 0 for no limit. */
  readonly most: number;
  /** Bytes per second of all of them; 0 for no limit. */
  readonly bytesPerSecond: number;
}

/** Settings of the running mirror that others need to know to look at the same things. */
export interface NodeSettings {
  readonly store: "containerd" | "oci-layout";
  readonly registryPort: number;
  readonly containerdSock?: string;
  readonly containerdNamespace?: string;
  readonly containerdContentPath?: string;
  readonly ociLayoutPath?: string;
  readonly dataDir?: string;
  readonly clusterSecretPath?: string;
  readonly mirroredRegistries: readonly string[];
  readonly registryFilters: readonly string[];
  readonly defaultRegistry: string;
}

/** How content travels between this node and others. */
export interface PeerTransferStatus {
  readonly tls: "never" | "preferred" | "required";
  /** Whether only nodes take part that have the cluster's secret. */
  readonly membersOnly: boolean;
  /** How peers are spoken to, by their identity; those that have not told are left out. */
  readonly transports: Readonly<Record<string, "tls" | "plain">>;
  /** Addresses of containerds that were refused, since they are not this node's as far as is known. */
  readonly refusedContainerds: readonly string[];
}

/** A node as it is now. */
export interface NodeStatus {
  readonly version: string;
  /** Identity in the router's network. */
  readonly id: string;
  readonly addresses: readonly string[];
  readonly zone?: string;
  readonly uptimeSeconds: number;
  readonly store: PartStatus;
  readonly router: PartStatus;
  readonly peers: readonly Peer[];
  readonly lost: readonly LostPeer[];
  readonly links: Links;
  /** Numbers of keys that are announced; undefined before the first look at the store. */
  readonly advertised?: {
    readonly tags: number;
    readonly images: number;
    readonly contents: number;
  };
  /** Requests that are being answered, those of probes left out. */
  readonly requests: number;
  readonly uploads: TransferStatus;
  readonly downloads: TransferStatus;
  /** Left out by versions without it. */
  readonly transfer?: PeerTransferStatus;
  /** Requests of containerd since the start. */
  readonly containerdRequests: number;
  readonly settings: NodeSettings;
}

/** A content that containerd is getting. */
export interface LocalDownload {
  /** Bytes that are there. */
  readonly offset: number;
  /** Size of the content in bytes. */
  readonly total: number;
  /** Where it comes from, if this process was asked for it: an upstream registry, or a peer, by its identity. */
  readonly from?: "upstream" | { readonly peer: string };
}

/** Who has a content. */
export interface Location {
  readonly key: string;
  readonly local: {
    readonly present: boolean;
    /** What the key stands for, where it is here. */
    readonly digest?: string;
    /** Bytes. */
    readonly size?: number;
    /** Why the store cannot tell. */
    readonly failure?: string;
    /** What containerd has of it so far, while it gets it. */
    readonly download?: LocalDownload;
    /**
     * All that containerd is getting, for a tag that is not known: containerd tells what it stands for at the end of the
     * pull.
     */
    readonly downloads?: readonly (LocalDownload & { readonly digest: string })[];
  };
  readonly peers: readonly Peer[];
  /** Peers that are getting it; undefined where downloads in progress are not shared, or the key is a tag. */
  readonly downloads?: readonly Download[];
  /** False if there may be more peers: time or the bound on their number ended the search. */
  readonly complete: boolean;
  readonly milliseconds: number;
}
