//! First answers of real servers to the probe, recorded on the way between both: what the documentation does not say stands here.

/// MySQL 9.7.4: its greeting.
pub const MYSQL: &[u8] = b"\
    K\0\0\0\n9.7.4-2\0\x08\0\0\x001j\x15GwNua\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0Q\x1d(Y3fg\x1c\x08M`d\
    \0caching_sha2_password\0";

/// Its wish for another way to log in, after ours.
pub const MYSQL_SWITCH: &[u8] = b"\
    ,\0\0\x02\xfecaching_sha2_password\x001j\x15GwNuaQ\x1d(Y3fg\x1c\x08M`d\0";

/// Its refusal, after our empty packet.
pub const MYSQL_DENIED: &[u8] = b"\
    M\0\0\x04\xff\x15\x04#28000Access denied for user 'sage_probe'@'localhost' (using password: NO)";

/// MariaDB 10.11.19: its greeting.
pub const MARIADB: &[u8] = b"\
    d\0\0\0\n5.5.5-10.11.19-MariaDB-0+deb12u1\0\x07\0\0\0(WaaCigL\0\xfe\xff\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\
    \0\0$lv.~QZO]ecA\0mysql_native_password\0";

/// Its refusal.
pub const MARIADB_DENIED: &[u8] = b"\
    M\0\0\x02\xff\x15\x04#28000Access denied for user 'sage_probe'@'localhost' (using password: NO)";

/// OpenLDAP 2.5.13: its root entry, and the end of the search.
pub const LDAP: &[u8] = b"\
    0\x82\x03\x8e\x02\x01\x01d\x82\x03\x87\x04\x000\x82\x03\x810*\x04\x15structuralObjectClass1\x11\x04\x0fOpenLDAProo\
    tDSE0\x1c\x04\rconfigContext1\x0b\x04\tcn=config0\x1e\x04\x0emonitorContext1\x0c\x04\ncn=Monitor0'\x04\x0enaming\
    Contexts1\x15\x04\x13dc=bench,dc=example0\x81\xe8\x04\x10supportedControl1\x81\xd3\x04\x181.3.6.1.4.1.4203.1.9.1\
    .1\x04\x182.16.840.1.113730.3.4.18\x04\x172.16.840.1.113730.3.4.2\x04\x171.3.6.1.4.1.4203.1.10.1\x04\x0c1.3.6.1.\
    1.22\x04\x161.2.840.113556.1.4.319\x04\x171.2.826.0.1.3344810.2.3\x04\x0e1.3.6.1.1.13.2\x04\x0e1.3.6.1.1.13.1\
    \x04\x0c1.3.6.1.1.120\x81\x8d\x04\x12supportedExtension1w\x04\x161.3.6.1.4.1.1466.20037\x04\x171.3.6.1.4.1.4203.\
    1.11.1\x04\x171.3.6.1.4.1.4203.1.11.3\x04\x0b1.3.6.1.1.8\x04\x0e1.3.6.1.1.21.3\x04\x0e1.3.6.1.1.21.10\x81\x9c\
    \x04\x11supportedFeatures1\x81\x86\x04\x0c1.3.6.1.1.14\x04\x161.3.6.1.4.1.4203.1.5.1\x04\x161.3.6.1.4.1.4203.1.5\
    .2\x04\x161.3.6.1.4.1.4203.1.5.3\x04\x161.3.6.1.4.1.4203.1.5.4\x04\x161.3.6.1.4.1.4203.1.5.50\x1b\x04\x14support\
    edLDAPVersion1\x03\x04\x0130\x81\x80\x04\x17supportedSASLMechanisms1e\x04\rSCRAM-SHA-512\x04\rSCRAM-SHA-384\x04\
    \rSCRAM-SHA-256\x04\rSCRAM-SHA-224\x04\x0bSCRAM-SHA-1\x04\nDIGEST-MD5\x04\x08CRAM-MD5\x04\x04NTLM0\r\x04\x07entr\
    yDN1\x02\x04\x000#\x04\x11subschemaSubentry1\x0e\x04\x0ccn=Subschema0\x0c\x02\x01\x01e\x07\n\x01\0\x04\0\x04\0";

/// RabbitMQ 3.10.8: Connection.Start.
pub const AMQP: &[u8] = b"\
    \x01\0\0\0\0\x01\xef\0\n\0\n\0\t\0\0\x01\xca\x0ccapabilitiesF\0\0\0\xc7\x12publisher_confirmst\x01\x1aexchange_e\
    xchange_bindingst\x01\nbasic.nackt\x01\x16consumer_cancel_notifyt\x01\x12connection.blockedt\x01\x13consumer_pri\
    oritiest\x01\x1cauthentication_failure_closet\x01\x10per_consumer_qost\x01\x0fdirect_reply_tot\x01\x0ccluster_na\
    meS\0\0\0\x08bench@vm\tcopyrightS\0\0\x007Copyright (c) 2007-2022 VMware, Inc. or its affiliates.\x0binformationS\
    \0\0\x009Licensed under the MPL 2.0. Website: https://rabbitmq.com\x08platformS\0\0\0\x11Erlang/OTP 25.2.3\x07prod\
    uctS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US\xce";

/// Apache Kafka 4.1.1: its ApiVersions.
pub const KAFKA: &[u8] = b"\
    \0\0\x01\xc0Sage\0\0\0\0\0I\0\0\0\0\0\r\0\x01\0\x04\0\x12\0\x02\0\x01\0\n\0\x03\0\0\0\r\0\x08\0\x02\0\t\0\t\0\
    \x01\0\t\0\n\0\0\0\x06\0\x0b\0\0\0\t\0\x0c\0\0\0\x04\0\r\0\0\0\x05\0\x0e\0\0\0\x05\0\x0f\0\0\0\x06\0\x10\0\0\0\
    \x05\0\x11\0\0\0\x01\0\x12\0\0\0\x04\0\x13\0\x02\0\x07\0\x14\0\x01\0\x06\0\x15\0\0\0\x02\0\x16\0\0\0\x05\0\x17\0\
    \x02\0\x04\0\x18\0\0\0\x05\0\x19\0\0\0\x04\0\x1a\0\0\0\x05\0\x1b\0\x01\0\x01\0\x1c\0\0\0\x05\0\x1d\0\x01\0\x03\0\
    \x1e\0\x01\0\x03\0\x1f\0\x01\0\x03\0 \0\x01\0\x04\0!\0\0\0\x02\0\"\0\x01\0\x02\0#\0\x01\0\x04\0$\0\0\0\x02\0%\0\
    \0\0\x03\0&\0\x01\0\x03\0'\0\x01\0\x02\0(\0\x01\0\x02\0)\0\x01\0\x03\0*\0\0\0\x02\0+\0\0\0\x02\0,\0\0\0\x01\0-\0\
    \0\0\x01\0.\0\0\0\0\0/\0\0\0\0\x000\0\0\0\x01\x001\0\0\0\x01\x002\0\0\0\0\x003\0\0\0\0\x007\0\0\0\x02\x009\0\0\0\x02\0<\0\0\
    \0\x02\0=\0\0\0\0\0@\0\0\0\0\0A\0\0\0\0\0B\0\0\0\x02\0D\0\0\0\x01\0E\0\0\0\x01\0J\0\0\0\x01\0K\0\0\0\0\0L\0\x01\
    \0\x01\0M\0\x01\0\x01\0N\0\x01\0\x01\0O\0\x01\0\x01\0P\0\0\0\0\0Q\0\0\0\0\0S\0\0\0\0\0T\0\0\0\0\0U\0\0\0\0\0V\0\
    \0\0\0\0W\0\0\0\0\0Z\0\0\0\0\0[\0\0\0\0\0\\\0\0\0\0";

/// A server that speaks for a MongoDB 8.2 (secantusd 0.7.0): its hello.
pub const MONGODB: &[u8] = b"\
    \x0f\x03\0\0\x01\0\0\0\x07\0\0\0\xdd\x07\0\0\0\0\0\0\0\xfa\x02\0\0\x08isWritablePrimary\0\x01\x08ismaster\0\x01\
    \x03topologyVersion\0-\0\0\0\x07processId\0k\x02\xf4\xd2B\"<\xf7\xb4\xc8A\xd0\x12counter\0\0\0\0\0\0\0\0\0\0\x10\
    maxBsonObjectSize\0\0\0\0\x01\x10maxMessageSizeBytes\0\0l\xdc\x02\x10maxWriteBatchSize\0\xa0\x86\x01\0\tlocalTim\
    e\0\xb0K\x8d\x03\xa2\x01\0\0\x10logicalSessionTimeoutMinutes\0\x1e\0\0\0\x12connectionId\0\x02\0\0\0\0\0\0\0\x10\
    minWireVersion\0\0\0\0\0\x10maxWireVersion\0\x1b\0\0\0\x08readOnly\0\0\x01ok\0\0\0\0\0\0\0\xf0?\x02setName\0\t\0\
    \0\0secantus\0\x10setVersion\0\x01\0\0\0\x04hosts\0\x1c\0\0\0\x020\0\x10\0\0\x00127.0.0.1:26017\0\0\x04passives\0\
    \x05\0\0\0\0\x04arbiters\0\x05\0\0\0\0\x08secondary\0\0\x02primary\0\x10\0\0\x00127.0.0.1:26017\0\x02me\0\x10\0\0\
    \x00127.0.0.1:26017\0\x07electionId\0\x7f\xff\xff\xff\0\0\0\0\0\0\0\x01\x03lastWrite\0\x7f\0\0\0\x03opTime\0\x18\0\
    \0\0\x11ts\0\x01\0\0\0\x11\xf5\x02k\x10t\0\x01\0\0\0\0\tlastWriteDate\0\xb0K\x8d\x03\xa2\x01\0\0\x03majorityOpTi\
    me\0\x18\0\0\0\x11ts\0\x01\0\0\0\x11\xf5\x02k\x10t\0\x01\0\0\0\0\tmajorityWriteDate\0\xb0K\x8d\x03\xa2\x01\0\0\0\
    \x03$clusterTime\0X\0\0\0\x11clusterTime\0\x01\0\0\0\x11\xf5\x02k\x03signature\x003\0\0\0\x05hash\0\x14\0\0\0\0\0\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x12keyId\0\0\0\0\0\0\0\0\0\0\0\x11operationTime\0\x01\0\0\0\x11\xf5\x02k\
    \0";
