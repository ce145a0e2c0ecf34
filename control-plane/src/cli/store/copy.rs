//! `fedgate store copy`: from one store into another.

use clap::Args;
use fedgate_store::StoreError;
use serde_json::json;

use crate::backend::{self, Backend};
use crate::cli::{Error, print};
use crate::config::{Config, Settings, StorePlace, StoreUrl};
use crate::serve::ServeError;

/// Two stores.
#[derive(Debug, Args)]
pub(in crate::cli) struct CopyArgs {
    /// The store that is copied, as in `store.url`
    #[arg(long, value_name = "URL")]
    from: String,
    /// The store that becomes the same; it has to be empty
    #[arg(long, value_name = "URL")]
    to: String,
    /// Authorities of etcd's certificates (PEM)
    #[arg(long, env = "FEDGATE_STORE_CA", value_name = "FILE")]
    ca: Option<String>,
    /// The certificate that we show to etcd (PEM)
    #[arg(long, env = "FEDGATE_STORE_CERTIFICATE", value_name = "FILE")]
    certificate: Option<String>,
    /// The key of that certificate (PEM)
    #[arg(long, env = "FEDGATE_STORE_KEY", value_name = "FILE")]
    key: Option<String>,
    /// Our user at etcd
    #[arg(long, env = "FEDGATE_STORE_USER", value_name = "NAME")]
    user: Option<String>,
    /// The file with that user's password
    #[arg(long, env = "FEDGATE_STORE_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<String>,
}

pub(super) async fn run(args: CopyArgs, json: bool) -> Result<(), Error> {
    let (from, to) = (args.place(&args.from)?, args.place(&args.to)?);
    let (from_name, to_name) = (backend::display(&from.url), backend::display(&to.url));
    let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await;
    let copied = copied.map_err(std::io::Error::from)?.map_err(ServeError::from)?;
    let Copied { domains, tokens, records } = copied;
    if json {
        return Ok(print::json(
            &json!({ "from": from_name, "to": to_name, "domains": domains, "tokens": tokens, "records": records }),
        )?);
    }
    Ok(print::line(format_args!(
        "{to_name} is what {from_name} is: {domains} domains, {tokens} tokens, {records} records of the audit"
    ))?)
}

/// How much was copied.
struct Copied {
    domains: usize,
    tokens: usize,
    records: usize,
}

/// Blocks.
fn copy(from: &StorePlace, to: &StorePlace) -> Result<Copied, StoreError> {
    if let StoreUrl::Sqlite(path) = &from.url
        && !path.exists()
    {
        let (file, cause) = (path.display().to_string(), "there is no such file".to_owned());
        return Err(StoreError::Open {
            file,
            cause,
            cure: "name the store that is to be copied".to_owned(),
        });
    }
    print::remark(format_args!("reading {}", backend::display(&from.url)));
    let from = Backend::open(from)?;
    let whole = from.list().whole()?;
    let rows: Vec<_> =
        from.rows().recall()?.into_iter().map(|(domain, row)| (domain, Some(row))).collect();
    let (domains, tokens, records) =
        (whole.state.domains.len(), whole.state.tokens.len(), whole.records.len());
    print::remark(format_args!(
        "writing {domains} domains, {tokens} tokens, {records} records of the audit"
    ));
    let to = Backend::open(to)?;
    to.list().fill(&whole)?;
    to.rows().write(&rows)?;
    from.list().close()?;
    to.list().close()?;
    Ok(Copied { domains, tokens, records })
}

impl CopyArgs {
    /// A URL with what is told of access, as far as that is of use with it.
    fn place(&self, url: &str) -> Result<StorePlace, ServeError> {
        let (is_etcd, is_secure) = (url.starts_with("etcd"), url.starts_with("etcds://"));
        let given = |is_of_use: bool, value: &Option<String>| value.clone().filter(|_| is_of_use);
        let settings = Settings {
            store_url: Some(url.to_owned()),
            store_ca: given(is_secure, &self.ca),
            store_certificate: given(is_secure, &self.certificate),
            store_key: given(is_secure, &self.key),
            store_user: given(is_etcd, &self.user),
            store_password_file: given(is_etcd, &self.password_file),
            ..Settings::default()
        };
        Ok(Config::load(&settings)?.store)
    }
}
