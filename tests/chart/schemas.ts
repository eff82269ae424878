/**
 * Schemas of Kubernetes' objects, stricter than they are published: what is not named is refused, as an API server does
 * with strict field validation.
 *
 * @module
 */
import Ajv, { type ErrorObject, type ValidateFunction } from "ajv";
import { RE2JS } from "re2js";
import { parseAllDocuments } from "yaml";
import type { SchemaFiles } from "./tools.ts";

/** A rendered object. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // deno-lint-ignore no-explicit-any -- Each kind has a form of its own; tests say what they expect.
  readonly [field: string]: any;
}

/** Checks objects by their kind. */
export class Schemas {
  readonly #checks = new Map<string, Check>();

  private constructor() {}

  /**
   * Reads the schemas.
   *
   * @param files Where they are.
   * @returns All of them.
   */
  static async load(files: SchemaFiles): Promise<Schemas> {
    const schemas = new Schemas();
    schemas.#addKubernetes(JSON.parse(await Deno.readTextFile(files.openApi)));
    for (const path of files.customResources) {
      for (const document of parseAllDocuments(await Deno.readTextFile(path))) {
        schemas.#addCustomResource(document.toJS());
      }
    }
    return schemas;
  }

  /**
   * Checks an object.
   *
   * @param object What was rendered.
   * @returns What is wrong with it; undefined if its kind is not known.
   */
  problems(object: KubernetesObject): string[] | undefined {
    const check = this.#checks.get(`${object.apiVersion}/${object.kind}`);
    const name = `${object.kind}/${object.metadata.name}`;
    return check?.(object).map(({ instancePath, message, params }) =>
      `${name}${instancePath} ${message} ${JSON.stringify(params)}`
    );
  }

  #addKubernetes(openApi: { definitions: Record<string, Schema> }): void {
    const ajv = createAjv();
    ajv.addSchema({ $id: "kubernetes", definitions: strict(openApi.definitions, true) });
    for (const [name, definition] of Object.entries(openApi.definitions)) {
      for (const { group, version, kind } of definition["x-kubernetes-group-version-kind"] ?? []) {
        const key = `${group === "" ? version : `${group}/${version}`}/${kind}`;
        const schema = { $ref: `kubernetes#/definitions/${name}` };
        // Compiled when it is first used: there are a thousand.
        let check: Check | undefined;
        this.#checks.set(key, (object) => (check ??= checkBy(ajv.compile(schema)))(object));
      }
    }
  }

  #addCustomResource(definition: CustomResourceDefinition | null): void {
    if (definition?.kind !== "CustomResourceDefinition") return;
    const { group, names, versions } = definition.spec;
    for (const { name, schema } of versions) {
      const { properties, ...rest } = schema.openAPIV3Schema;
      const complete = { ...rest, properties: { ...properties, metadata: { type: "object" } } };
      const open = { ...strict(complete, false), additionalProperties: false };
      this.#checks.set(`${group}/${name}/${names.kind}`, checkBy(createAjv().compile(open)));
    }
  }
}

/** Says what is wrong. */
type Check = (object: unknown) => readonly ErrorObject[];

function checkBy(validate: ValidateFunction): Check {
  return (object) => validate(object) ? [] : validate.errors ?? [];
}

interface Schema {
  readonly "x-kubernetes-group-version-kind"?: readonly {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  }[];
  readonly [keyword: string]: unknown;
}

interface CustomResourceDefinition {
  readonly kind: string;
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly {
      readonly name: string;
      readonly schema: { readonly openAPIV3Schema: { readonly properties: object } };
    }[];
  };
}

function createAjv(): Ajv.default {
  // Patterns are Go's. The code is for standalone use only, which is not made of it.
  const regExp = Object.assign((pattern: string) => RE2JS.compile(pattern), { code: "RE2JS" });
  return new Ajv.default({
    strict: false,
    validateFormats: false,
    allErrors: true,
    code: { regExp },
  });
}

/** `128Mi`, or a number. */
const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/** Adds what OpenAPI leaves to the server: no unknown fields, and numbers where a text or a number may stand. */
function strict<T>(schema: T, isDefinitions: boolean): T {
  if (Array.isArray(schema)) return schema.map((item) => strict(item, false)) as T;
  if (typeof schema !== "object" || schema === null) return schema;
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    copy[key] = strict(value, !isDefinitions && key === "properties");
  }
  if (isDefinitions) {
    if (QUANTITY in copy) copy[QUANTITY] = { type: ["string", "number"] };
    return copy as T;
  }
  if (copy["format"] === "int-or-string" || copy["x-kubernetes-int-or-string"] === true) {
    return { type: ["string", "integer"] } as T;
  }
  const isOpen = "additionalProperties" in copy ||
    copy["x-kubernetes-preserve-unknown-fields"] === true;
  if ("properties" in copy && !isOpen) copy["additionalProperties"] = false;
  return copy as T;
}
