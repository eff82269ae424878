import { testStoreCompliance } from "./compliance.ts";
import { memoryFixture } from "./memory_fixture.ts";

testStoreCompliance("MemoryStore", () => Promise.resolve(memoryFixture()));
