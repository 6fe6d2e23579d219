// Arrays arrive as bytes; here they become typed arrays.

export type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The bytes behind any of the forms in which a kernel's buffer reaches the page, at an aligned place. */
function aligned(bytes: Bytes | undefined): ArrayBuffer {
  if (bytes === undefined) return new ArrayBuffer(0);
  if (bytes instanceof ArrayBuffer) return bytes;
  const { buffer, byteOffset, byteLength } = bytes;
  return (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength);
}

export const floats = (bytes: Bytes | undefined): Float32Array => new Float32Array(aligned(bytes));
export const integers = (bytes: Bytes | undefined): Int32Array => new Int32Array(aligned(bytes));
