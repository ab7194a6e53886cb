//! The families of the prober, by the names that blackbox_exporter made known.

sage_common::metrics! {
    /// 1 when the target gave the answer that the module wants, else 0.
    SUCCESS: Gauge "probe_success" [];
    /// Time from the start of the probe to its verdict, in seconds.
    DURATION: Gauge "probe_duration_seconds" [];
    /// Time that the resolver took for the names of the target and of its redirects, in seconds.
    DNS_LOOKUP: Gauge "probe_dns_lookup_time_seconds" [];
    /// Address family of the target: 4 or 6.
    IP_PROTOCOL: Gauge "probe_ip_protocol" [];
    /// FNV-1a hash of the target's address; it changes with the address.
    IP_ADDR_HASH: Gauge "probe_ip_addr_hash" [];
    /// 1 when a regular expression of the module decided that the probe failed, else 0.
    FAILED_DUE_TO_REGEX: Gauge "probe_failed_due_to_regex" [];
    /// Status code of the last answer; 0 when none came.
    HTTP_STATUS_CODE: Gauge "probe_http_status_code" [];
    /// HTTP version of the last answer, such as 1.1.
    HTTP_VERSION: Gauge "probe_http_version" [];
    /// Seconds spent in each phase (resolve, connect, tls, processing: from the request to the answer's head, transfer:
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
    /// Earliest end of validity among the certificates that the server showed, Unix time; also when the check refused them.
    SSL_EARLIEST_EXPIRY: Gauge "probe_ssl_earliest_cert_expiry" [];
    /// Earliest end of validity along the chain from the server's certificate, Unix time; only when the check passed.
    SSL_CHAIN_EXPIRY: Gauge "probe_ssl_last_chain_expiry_timestamp_seconds" [];
    /// The server's certificate; always 1.
    SSL_CHAIN_INFO: Gauge legacy "probe_ssl_last_chain_info" [fingerprint_sha256, subject, issuer, subjectalternative, serialnumber];
    /// The TLS version that was agreed on; always 1.
    TLS_VERSION: Gauge "probe_tls_version_info" [version];
    /// The TLS cipher suite that was agreed on; always 1.
    TLS_CIPHER: Gauge "probe_tls_cipher_info" [cipher];
}
