// Runs the checker in a worker: a WASI program that reads a request from its standard input and writes JSON to its standard
// output. It imports nothing but the functions of `wasi` below.
"use strict";
onmessage = ({ data: { module, request } }) => postMessage(answer(module, request));

function answer(module, request) {
  const input = new TextEncoder().encode(request), output = [[], [], []];
  let read = 0, memory;
  const SUCCESS = 0, BAD_DESCRIPTOR = 8;
  const view = () => new DataView(memory.buffer);
  // The buffers of a read or write: pairs of address and length.
  const buffers = (vectors, count) => Array.from({ length: count }, (_, i) =>
    new Uint8Array(memory.buffer, view().getUint32(vectors + 8 * i, true), view().getUint32(vectors + 8 * i + 4, true)));
  const returns = (address, value) => { view().setUint32(address, value, true); return SUCCESS; };
  const wasi = {
    fd_read(descriptor, vectors, count, length) {
      if (descriptor !== 0) return BAD_DESCRIPTOR;
      const start = read;
      for (const buffer of buffers(vectors, count)) {
        const part = input.subarray(read, read + buffer.length);
        buffer.set(part);
        read += part.length;
      }
      return returns(length, read - start);
    },
    fd_write(descriptor, vectors, count, length) {
      if (!output[descriptor]) return BAD_DESCRIPTOR;
      let written = 0;
      for (const buffer of buffers(vectors, count)) {
        output[descriptor].push(buffer.slice());
        written += buffer.length;
      }
      return returns(length, written);
    },
    // There are no variables of the environment.
    environ_sizes_get: (count, size) => returns(count, 0) || returns(size, 0),
    environ_get: () => SUCCESS,
    // Only the order inside of hash tables is random, on which no answer depends.
    random_get(address, length) { crypto.getRandomValues(new Uint8Array(memory.buffer, address, length)); return SUCCESS; },
    proc_exit(code) { throw new Error(`exit code ${code}`); },
  };
  const text = (descriptor) => {
    const decoder = new TextDecoder();
    return output[descriptor].map((bytes) => decoder.decode(bytes, { stream: true })).join("") + decoder.decode();
  };
  try {
    const { exports } = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi });
    memory = exports.memory;
    exports._start();
    return JSON.parse(text(1));
  } catch (error) {
    return { problem: `the checker failed: ${text(2).trim() || error.message}` };
  }
}
