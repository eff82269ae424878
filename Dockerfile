# syntax=docker/dockerfile:1
# The whole program as one binary, on an image with nothing but glibc.
#   docker buildx build --platform linux/amd64,linux/arm64 -t kagami .

# The build runs on the builder's own architecture; deno compile crosses over.
FROM --platform=$BUILDPLATFORM denoland/deno:debian-2.9.6 AS build
ARG TARGETARCH
WORKDIR /src
COPY deno.json deno.lock main.ts ./
COPY lib ./lib
RUN case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      *) echo "no build for $TARGETARCH" >&2; exit 1 ;; \
    esac \
 && COMPILE_TARGET="--target=$target" deno task compile

# cc: deno needs glibc and libgcc. Root, for `configuration` and `cleanup`, which write to /etc/containerd; the mirror
# itself needs only the group of containerd's socket (`docker run --user 65532:0`), and the chart gives it no more.
FROM gcr.io/distroless/cc-debian13
# Memory: as in `deno task start`. One arena, and large buffers go back to the system when they are freed.
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072
COPY --from=build /src/kagami /kagami
ENTRYPOINT ["/kagami"]
CMD ["registry"]
