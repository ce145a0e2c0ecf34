//! How DNSSEC's questions are put to the DNS servers.

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, OpCode, Query};

use super::super::answer::{LAME, cause};
use super::super::servers::{Servers, is_about_the_name};
use super::validator::Ask;

impl Ask for Servers {
    async fn ask(&self, query: &Query) -> Result<Message, String> {
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = true;
        let mut request = DnsRequest::from_query(query.clone(), options);
        request.metadata.checking_disabled = true;
        match Servers::ask(self, &request).await {
            Ok(response) => Ok(response.into_message()),
            Err(NetError::Dns(DnsError::NoRecordsFound(absent))) if is_about_the_name(&absent) => {
                let mut message = Message::response(0, OpCode::Query);
                message.metadata.response_code = absent.response_code;
                message.authorities = absent.authorities.unwrap_or_default().to_vec();
                Ok(message)
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Err(LAME.to_owned()),
            Err(error) => Err(cause(&error)),
        }
    }
}
