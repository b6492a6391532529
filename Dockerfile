# One static binary and nothing else. `make image` makes the directory that is copied, with
# the binary and two directories that any user may write, and needs no registry.
FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="synod" \
      org.opencontainers.image.description="Consensus, coordination and a cluster manager in one binary" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/synod-go/synod" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY root/ /
USER 65532:65532
VOLUME /data
EXPOSE 4700 4701 4702 4702/udp 4705
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/node", "wait", "--leader", "--quiet", "--timeout", "2s"]
ENTRYPOINT ["/node"]
CMD ["help"]
