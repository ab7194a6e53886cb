//! The families of the prober, by the names that blackbox_exporter made known.

sage_common::metrics! {
    /// 1 when the target gave the answer that the module wants, else 0.
    SUCCESS: Gauge "probe_success" [];
    /// Time from the start of the probe to its verdict, in seconds.
    DURATION: Gauge "probe_duration_seconds" [];
    /// 1 with the reason, from a closed set that the README lists, while the probe fails.
    ERROR_INFO: Gauge "probe_error_info" [reason];
    /// Seconds spent in each phase that was reached: token (where one was asked for), resolve, connect, proxy_connect (the proxy's answer to CONNECT),
    /// proxy_tls, tls, first_byte (from the request to the answer's head), transfer; summed over redirects.
    PHASE: Gauge "probe_phase_duration_seconds" [phase];
    /// Time that the resolver took for the names of the target and of its redirects, in seconds.
    DNS_LOOKUP: Gauge "probe_dns_lookup_time_seconds" [];
    /// Addresses of the target's name where the module has `addresses: any` or `all`: asked, and not_asked (behind the one that was well,
    /// or more than sixteen).
    ADDRESSES: Gauge "probe_addresses" [state];
    /// 1 when the probe of this address of the target's name gave what the module wants, else 0; with `addresses: any` or `all`.
    ADDRESS_SUCCESS: Gauge "probe_address_success" [address];
    /// Time that the probe of this address took, without the resolver's, in seconds.
    ADDRESS_DURATION: Gauge "probe_address_duration_seconds" [address];
    /// 1 with the reason, from the set of probe_error_info, while the probe of this address fails.
    ADDRESS_ERROR_INFO: Gauge "probe_address_error_info" [address, reason];
    /// Address family of the target: 4 or 6.
    IP_PROTOCOL: Gauge "probe_ip_protocol" [];
    /// The way to the target where its module has a proxy: who named the proxy (source: config, environment, or direct where
    /// the target is exempt) and how it is spoken to (scheme: http, https, none); always 1.
    PROXY: Gauge "probe_proxy_info" [source, scheme];
    /// FNV-1a hash of the target's address; it changes with the address.
    IP_ADDR_HASH: Gauge "probe_ip_addr_hash" [];
    /// 1 when a regular expression of the module decided that the probe failed, else 0.
    FAILED_DUE_TO_REGEX: Gauge "probe_failed_due_to_regex" [];
    /// Status code of the last answer; 0 when none came.
    HTTP_STATUS_CODE: Gauge "probe_http_status_code" [];
    /// HTTP version of the last answer, such as 1.1.
    HTTP_VERSION: Gauge "probe_http_version" [];
    /// Seconds spent in each phase (resolve, connect with all that a proxy needs, tls, processing: from the request to the answer's head, transfer:
    /// the body), summed over redirects; at a timeout, as far as the probe came. 0 where a phase was not reached.
    HTTP_DURATION: Gauge "probe_http_duration_seconds" [phase];
    /// Redirects that were followed.
    HTTP_REDIRECTS: Gauge "probe_http_redirects" [];
    /// 1 when the last answer came over TLS, else 0.
    HTTP_SSL: Gauge "probe_http_ssl" [];
    /// Length of the last answer's body as its head declares it, in bytes; absent when it does not.
    HTTP_CONTENT_LENGTH: Gauge "probe_http_content_length" [];
    /// Bytes of the last answer's body, after decompression; absent when it was not read to its end.
    HTTP_BODY_LENGTH: Gauge "probe_http_uncompressed_body_length" [];
    /// When the last answer says that its content was last modified (Last-Modified), Unix time.
    HTTP_LAST_MODIFIED: Gauge "probe_http_last_modified_timestamp_seconds" [];
    /// Seconds spent in each phase (resolve, setup: the socket, rtt: from the request to the kernel's time of the reply); at a
    /// timeout, as far as the probe came. 0 where a phase was not reached.
    ICMP_DURATION: Gauge "probe_icmp_duration_seconds" [phase];
    /// Time to live or hop limit that the echo reply had left; absent when none came.
    ICMP_HOP_LIMIT: Gauge "probe_icmp_reply_hop_limit" [];
    /// Time that a step of the module took, with its redirects, in seconds; absent for a step that did not run.
    STEP_DURATION: Gauge "probe_step_duration_seconds" [step];
    /// 1 when the step's answer was the one that it expects, else 0; absent for a step that did not run.
    STEP_SUCCESS: Gauge "probe_step_success" [step];
    /// 1 with the reason, from the set of probe_error_info, while a step fails.
    STEP_ERROR_INFO: Gauge "probe_step_error_info" [step, reason];
    /// Earliest end of validity among the certificates that the server showed, Unix time; also when the check refused them.
    SSL_EARLIEST_EXPIRY: Gauge "probe_ssl_earliest_cert_expiry" [];
    /// Earliest end of validity along the chain from the server's certificate, Unix time; only when the check passed.
    SSL_CHAIN_EXPIRY: Gauge "probe_ssl_last_chain_expiry_timestamp_seconds" [];
    /// The server's certificate; always 1.
    SSL_CHAIN_INFO: Gauge legacy "probe_ssl_last_chain_info" [fingerprint_sha256, subject, issuer, subjectalternative, serialnumber];
    /// 1 when the check accepted the server's certificate, 0 when it refused it; absent where nothing is checked.
    TLS_VERIFY_OK: Gauge "probe_tls_verify_ok" [];
    /// End of validity of the server's own certificate (leaf), the earliest of those between (intermediate) and that of a
    /// root where the server shows it, Unix time; also when the check refused them; the last known where the target is down.
    CERT_NOT_AFTER: Gauge "probe_cert_not_after_timestamp_seconds" [position];
    /// Seconds since the certificates of probe_cert_not_after_timestamp_seconds were seen; 0 when in this probe.
    CERT_AGE: Gauge "probe_cert_age_seconds" [];
    /// The TLS version that was agreed on; always 1.
    TLS_VERSION: Gauge "probe_tls_version_info" [version];
    /// The TLS cipher suite that was agreed on; always 1.
    TLS_CIPHER: Gauge "probe_tls_cipher_info" [cipher];
    /// Seconds spent in each phase (resolve, connect: with the TLS handshake, request: from the query to the whole answer).
    /// 0 where a phase was not reached.
    DNS_DURATION: Gauge "probe_dns_duration_seconds" [phase];
    /// 1 when the DNS server answered, whatever the answer says, else 0.
    DNS_SUCCEEDED: Gauge "probe_dns_query_succeeded" [];
    /// Records in the answer section; absent when no answer came.
    DNS_ANSWERS: Gauge "probe_dns_answer_rrs" [];
    /// Records in the authority section; absent when no answer came.
    DNS_AUTHORITIES: Gauge "probe_dns_authority_rrs" [];
    /// Records in the additional section; absent when no answer came.
    DNS_ADDITIONALS: Gauge "probe_dns_additional_rrs" [];
    /// Serial number of the zone, where the answer to a query of type SOA begins with one.
    DNS_SERIAL: Gauge "probe_dns_serial" [];
    /// Response code of the answer as a number (0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED); absent when no answer came.
    DNS_RCODE: Gauge "probe_dns_rcode" [];
    /// 1 when the answer did not fit into a datagram and was fetched again over TCP, else 0; absent when no answer came.
    DNS_TRUNCATED: Gauge "probe_dns_truncated" [];
    /// Seconds spent in each phase (resolve; check: from the connection to the whole answer). 0 where a phase was not reached.
    GRPC_DURATION: Gauge "probe_grpc_duration_seconds" [phase];
    /// 1 when the answer came over TLS, else 0.
    GRPC_SSL: Gauge "probe_grpc_ssl" [];
    /// Status code of gRPC: 0 OK, 5 no such service, 12 no health service; where no answer came 14, or 4 when it was late.
    GRPC_STATUS_CODE: Gauge "probe_grpc_status_code" [];
    /// 1 for what the service says of itself (SERVING, NOT_SERVING, SERVICE_UNKNOWN, UNKNOWN), 0 for the others.
    GRPC_HEALTH: Gauge "probe_grpc_healthcheck_response" [serving_status];
    /// 1 when expect_bytes of the module decided that the probe failed, else 0; absent where the module has none.
    FAILED_DUE_TO_BYTES: Gauge "probe_failed_due_to_bytes" [];
    /// Labels that the module names, with what its expressions matched; always 1.
    EXPECT_INFO: Gauge "probe_expect_info" [];
    /// The server as it was recognised by its first answer, version empty where it does not say; always 1.
    TCP_PROTOCOL: Gauge "probe_tcp_protocol_info" [protocol, version];
    /// Time from our first byte to the answer by which the server was recognised, in seconds.
    TCP_HANDSHAKE: Gauge "probe_tcp_handshake_duration_seconds" [];
}
