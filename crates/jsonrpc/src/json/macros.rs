//! The [`json!`](crate::json!) macro.

/// Builds a [`Json`](crate::Json) from JSON-like text with Rust expressions in it:
/// `json!({"op": "insert", "row": row, "where": [["name", "==", name]]})`. A member name that is not a literal goes in
/// parentheses: `json!({(table): rows})`. Expressions convert with `Into<Json>`.
#[macro_export]
macro_rules! json {
    // Arrays: done values in the brackets, the rest behind.
    (@array [$($done:expr,)*]) => { $crate::Json::Array(::std::vec![$($done,)*].into()) };
    (@array [$($done:expr,)*] null $(, $($rest:tt)*)?) => {
        $crate::json!(@array [$($done,)* $crate::Json::Null,] $($($rest)*)?)
    };
    (@array [$($done:expr,)*] [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $crate::json!(@array [$($done,)* $crate::json!([$($inner)*]),] $($($rest)*)?)
    };
    (@array [$($done:expr,)*] {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $crate::json!(@array [$($done,)* $crate::json!({$($inner)*}),] $($($rest)*)?)
    };
    (@array [$($done:expr,)*] $next:expr $(, $($rest:tt)*)?) => {
        $crate::json!(@array [$($done,)* $crate::Json::from($next),] $($($rest)*)?)
    };
    // Objects: likewise, in pairs.
    (@object [$(($k:expr, $v:expr))*]) => {
        $crate::Json::Object($crate::Object::from_members(::std::vec![$(($k.into(), $v),)*]))
    };
    (@object [$($done:tt)*] $key:tt : null $(, $($rest:tt)*)?) => {
        $crate::json!(@object [$($done)* ($key, $crate::Json::Null)] $($($rest)*)?)
    };
    (@object [$($done:tt)*] $key:tt : [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $crate::json!(@object [$($done)* ($key, $crate::json!([$($inner)*]))] $($($rest)*)?)
    };
    (@object [$($done:tt)*] $key:tt : {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $crate::json!(@object [$($done)* ($key, $crate::json!({$($inner)*}))] $($($rest)*)?)
    };
    (@object [$($done:tt)*] $key:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::json!(@object [$($done)* ($key, $crate::Json::from($value))] $($($rest)*)?)
    };
    (null) => { $crate::Json::Null };
    ([$($items:tt)*]) => { $crate::json!(@array [] $($items)*) };
    ({$($members:tt)*}) => { $crate::json!(@object [] $($members)*) };
    ($value:expr) => { $crate::Json::from($value) };
}
