//! `docs/adopt/from-cached.md`

mod before {
    use crate::users;

    use cached::macros::cached;

    #[cached(max_size = 10_000, ttl_secs = 300, sync_writes = "by_key")]
    pub(crate) async fn name_of(id: u64) -> Result<String, users::Unknown> {
        users::read(id).await
    }

    pub(crate) async fn rename(id: u64, name: &str) -> Result<String, users::Unknown> {
        users::write(id, name).await;
        name_of_prime_cache(id).await
    }
}

mod after {
    use std::sync::{Arc, LazyLock};

    use crate::users;

    use std::time::Duration;

    use offgridflow_cache::{Cache, Error, Loaded, Loader, Moka};

    static USERS: LazyLock<Cache<u64, String, Table>> = LazyLock::new(|| {
        let users = Cache::builder("users").near(Moka::entries(10_000)).ttl(Duration::from_secs(300));
        users.build(Table).expect("these settings can work")
    });

    struct Table;

    impl Loader<u64, String> for Table {
        type Error = users::Unknown;

        async fn load(&self, id: u64) -> Result<Loaded<String>, users::Unknown> {
            users::read(id).await.map(Loaded::value)
        }
    }

    pub(crate) async fn name_of(id: u64) -> Result<Option<Arc<String>>, Error<users::Unknown>> {
        USERS.get(&id).await
    }

    pub(crate) async fn rename(id: u64, name: &str) {
        users::write(id, name).await;
        let _ = USERS.invalidate(&id).await;
    }
}

use std::time::Duration;

use crate::users;

#[tokio::test(flavor = "multi_thread")]
async fn both_keep_and_both_follow_a_change() {
    let id = users::somebody("Ada");
    assert_eq!(before::name_of(id).await.unwrap(), "Ada");
    users::write(id, "nobody looks").await;
    assert_eq!(before::name_of(id).await.unwrap(), "Ada");
    assert_eq!(before::rename(id, "Grace").await.unwrap(), "Grace");
    assert_eq!(before::name_of(id).await.unwrap(), "Grace");

    let id = users::somebody("Ada");
    assert_eq!(after::name_of(id).await.unwrap().unwrap().as_str(), "Ada");
    users::write(id, "nobody looks").await;
    assert_eq!(after::name_of(id).await.unwrap().unwrap().as_str(), "Ada");
    after::rename(id, "Grace").await;
    assert_eq!(after::name_of(id).await.unwrap().unwrap().as_str(), "Grace");
}

/// A load that has looked before a change, and answers after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_meets_a_change_does_not_bring_the_old_value_back() {
    let id = users::somebody("Ada");
    let (_, ()) = tokio::join!(after::name_of(id), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        after::rename(id, "Grace").await;
    });
    assert_eq!(after::name_of(id).await.unwrap().unwrap().as_str(), "Grace");
}

/// What fails is not kept by the one, and not asked again for a moment by the other; what is cut short is loaded anew by the one alone.
#[tokio::test(flavor = "multi_thread")]
async fn failures_and_callers_that_go_away() {
    let nobody = users::nobody();
    for _ in 0..2 {
        assert_eq!(before::name_of(nobody).await, Err(users::Unknown(nobody)));
    }
    assert_eq!(users::reads_of(nobody), 2);
    let mut left_alone = false;
    for _ in 0..5 {
        // A machine that stands still for the moment proves nothing.
        let nobody = users::nobody();
        for _ in 0..2 {
            assert!(after::name_of(nobody).await.is_err());
        }
        left_alone |= users::reads_of(nobody) == 1;
    }
    assert!(left_alone);

    let [one, other] = [users::somebody("Ada"), users::somebody("Ada")];
    let soon = Duration::from_millis(30);
    assert!(tokio::time::timeout(soon, before::name_of(one)).await.is_err());
    assert!(tokio::time::timeout(soon, after::name_of(other)).await.is_err());
    tokio::time::sleep(users::READ * 2).await;
    assert_eq!(before::name_of(one).await.unwrap(), "Ada");
    assert_eq!(after::name_of(other).await.unwrap().unwrap().as_str(), "Ada");
    assert_eq!((users::reads_of(one), users::reads_of(other)), (2, 1));
}
