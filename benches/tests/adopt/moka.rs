//! `docs/adopt/from-moka.md`

mod before {
    use std::{sync::Arc, time::Duration};

    use crate::users;

    use moka::future::Cache;

    pub(crate) type Users = Cache<u64, String>;

    pub(crate) fn users() -> Users {
        Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(300)).build()
    }

    pub(crate) async fn name_of(users: &Users, id: u64) -> Result<String, Arc<users::Unknown>> {
        users.try_get_with(id, users::read(id)).await
    }

    pub(crate) async fn rename(users: &Users, id: u64, name: &str) {
        users::write(id, name).await;
        users.invalidate(&id).await;
    }
}

mod after {
    use std::{sync::Arc, time::Duration};

    use crate::users;

    use offgridflow_cache::{Cache, ConfigError, Error, Loaded, Loader, Moka};

    pub(crate) type Users = Cache<u64, String, Table>;

    pub(crate) struct Table;

    impl Loader<u64, String> for Table {
        type Error = users::Unknown;

        async fn load(&self, id: u64) -> Result<Loaded<String>, users::Unknown> {
            users::read(id).await.map(Loaded::value)
        }
    }

    pub(crate) fn users() -> Result<Users, ConfigError> {
        Cache::builder("users").near(Moka::entries(10_000)).ttl(Duration::from_secs(300)).build(Table)
    }

    pub(crate) async fn name_of(
        users: &Users,
        id: u64,
    ) -> Result<Option<Arc<String>>, Error<users::Unknown>> {
        users.get(&id).await
    }

    pub(crate) async fn rename(users: &Users, id: u64, name: &str) {
        users::write(id, name).await;
        let _ = users.invalidate(&id).await;
    }
}

use std::time::Duration;

use offgridflow_cache::Error;

use crate::users;

/// Long enough for a load to have looked, and not to have answered.
const UNDER_WAY: Duration = Duration::from_millis(30);

#[tokio::test]
async fn both_load_once_and_keep() {
    let id = users::somebody("Ada");
    let old = before::users();
    assert_eq!(before::name_of(&old, id).await.unwrap(), "Ada");
    assert!(old.contains_key(&id));
    let new = after::users().unwrap();
    assert_eq!(after::name_of(&new, id).await.unwrap().unwrap().as_str(), "Ada");
    assert!(new.peek(&id).is_some());
    assert_eq!(new.stats().loads, 1);
}

/// A load that began before a change puts what it saw into the one, and not into the other.
#[tokio::test]
async fn a_load_that_meets_a_change_leaves_the_old_value_in_moka_alone() {
    let id = users::somebody("Ada");
    let old = before::users();
    let (read, ()) = tokio::join!(before::name_of(&old, id), async {
        tokio::time::sleep(UNDER_WAY).await;
        before::rename(&old, id, "Grace").await;
    });
    assert_eq!(read.unwrap(), "Ada");
    assert_eq!(before::name_of(&old, id).await.unwrap(), "Ada", "for five minutes");

    let id = users::somebody("Ada");
    let new = after::users().unwrap();
    let (_, ()) = tokio::join!(after::name_of(&new, id), async {
        tokio::time::sleep(UNDER_WAY).await;
        after::rename(&new, id, "Grace").await;
    });
    assert_eq!(after::name_of(&new, id).await.unwrap().unwrap().as_str(), "Grace");
}

/// Who asks for what cannot be loaded is refused alike by both; only the cache leaves the source alone for a moment.
#[tokio::test]
async fn errors_are_shared_and_the_source_is_left_alone_for_a_moment() {
    let nobody = users::nobody();
    let old = before::users();
    for reads in 1..3 {
        assert_eq!(*before::name_of(&old, nobody).await.unwrap_err(), users::Unknown(nobody));
        assert_eq!(users::reads_of(nobody), reads);
    }
    let new = after::users().unwrap();
    let mut left_alone = false;
    for _ in 0..5 {
        // A machine that stands still for the moment proves nothing.
        let nobody = users::nobody();
        for _ in 0..2 {
            let refused = after::name_of(&new, nobody).await.unwrap_err();
            assert!(matches!(refused, Error::Load(why) if *why == users::Unknown(nobody)));
        }
        left_alone |= users::reads_of(nobody) == 1;
    }
    assert!(left_alone);
}

/// A caller that goes away takes the load with it in the one, and leaves it to the others in the other.
#[tokio::test]
async fn a_load_outlives_its_caller() {
    let id = users::somebody("Ada");
    let new = after::users().unwrap();
    let gone = tokio::time::timeout(UNDER_WAY, after::name_of(&new, id)).await;
    assert!(gone.is_err());
    tokio::time::sleep(users::READ * 2).await;
    assert_eq!(new.peek(&id).unwrap().as_str(), "Ada");

    let id = users::somebody("Ada");
    let old = before::users();
    let gone = tokio::time::timeout(UNDER_WAY, before::name_of(&old, id)).await;
    assert!(gone.is_err());
    tokio::time::sleep(users::READ * 2).await;
    assert!(!old.contains_key(&id));
}
